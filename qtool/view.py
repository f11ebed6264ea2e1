"""``qtool view``: a model whose nodes carry what a run decided about them, for Netron to show."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from importlib.util import find_spec
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from passes.errors import ReportError, UsageError
from passes.ir.onnx_io import read_proto, write_proto
from qtool.report.folder import open_compiled

if TYPE_CHECKING:
    from pathlib import Path

    import onnx

    from qtool.report import LayerReport

SHOWN = ("weight_bits", "act_bits", "loss", "latency_s", "energy_j", "weight_bytes", "bops", "runs", "reason")
"""Fields of `LayerReport` that become metadata of the node, with ``qtool.`` in front of their names."""
DEFAULT = "model.qdq.onnx"


@dataclass(frozen=True)
class Annotated:
    """A model with metadata, and what there is to say about it.

    Attributes:
        proto: the model.
        name: of its file.
        layers: nodes that were told about.
        of: layers in the report of the run.
    """

    proto: onnx.ModelProto
    name: str
    layers: int
    of: int

    def to_document(self) -> dict[str, object]:
        """Return what the command prints."""
        return {"model": self.name, "annotated_layers": self.layers, "layers": self.of}


def locate(model: Path, run: Path | None) -> tuple[Path, Path]:
    """Return the model file, and the folder of the run that is told about in it.

    Args:
        model: an .onnx file, or a folder of ``qtool quantize``, which stands for its Q/DQ model.
        run: the folder of the run; that of the model where it is ``None``.
    """
    file = model / DEFAULT if model.is_dir() else model
    return file, run or file.parent


def annotated(file: Path, run: Path) -> Annotated:
    """Return a model with the layers' bits, expected losses and costs as metadata of its nodes.

    Raises:
        ModelError: the model cannot be read.
        ReportError: the folder has no report, or one of a model without any of these nodes.
    """
    layers = {layer.name: layer for layer in open_compiled(run).report.layers}
    proto, _ = read_proto(file)
    known = [node for node in proto.graph.node if node.name in layers]
    if not known:
        raise ReportError(f"{file}: expected nodes that {run}/report.json tells about, found none")
    for node in known:
        _tell(node, layers[node.name])
    return Annotated(proto, file.name, len(known), len(layers))


def _tell(node: onnx.NodeProto, layer: LayerReport) -> None:
    values = asdict(layer)
    for name in SHOWN:
        if values[name] is not None:
            entry = node.metadata_props.add()
            entry.key, entry.value = f"qtool.{name}", format(values[name], "g" if name != "runs" else "")


def open_in_netron(model: Annotated, port: int) -> None:
    """Show a model in the browser until Netron is stopped.

    Args:
        model: with its metadata; the browser shows the name of its file.
        port: of the server on this machine; 0 lets Netron choose.

    Raises:
        UsageError: Netron is not installed.
    """
    if find_spec("netron") is None:
        raise UsageError("view: needs Netron; install the extra: pip install 'qtool[view]', or write with -o")
    import netron

    with TemporaryDirectory() as folder:
        path = f"{folder}/{model.name}"
        write_proto(model.proto, path)
        netron.start(path, port or None)
        netron.wait()
