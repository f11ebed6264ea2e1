"""Two forms of a model, layer by layer: steps apart on equal inputs, or noise where both run freely."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from passes.artifact import Artifact
from passes.execution.metrics import cosine, sqnr
from passes.execution.session import Level, Session
from passes.ir.onnx_io import read_model, to_proto
from qtool.agreement import DEQUANTIZERS, expose, layer_agreement
from qtool.prepared import prepare
from qtool.runtime import open_engine
from qtool.runtime.boundary import to_floats

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    import onnx
    from numpy.typing import NDArray

    from passes.execution.dataset import Dataset

LAYER_SAMPLES = 8
EQUAL_DB = 100.0
"""Ratio of signal to noise from which tensors count as equal: rounding to float32 alone leaves about 140."""
PLAN = "plan.json"


@dataclass(frozen=True)
class Side:
    """One of the two: an ONNX model or an artifact, and the file that it came from."""

    path: Path
    form: onnx.ModelProto | Artifact

    @classmethod
    def open(cls, path: Path) -> Side:
        """Read a file by its suffix."""
        return cls(path, Artifact.load(path) if path.suffix == ".qpk" else to_proto(read_model(path)))

    @property
    def is_float(self) -> bool:
        """Whether nothing in it is quantized."""
        if isinstance(self.form, Artifact):
            return False
        return all(node.op_type != "QuantizeLinear" for node in self.form.graph.node)


def compare_layers(a: Path, b: Path, data: Dataset, workers: int) -> dict[str, Any]:
    """Compare inside two models; ``a`` is the reference.

    A Q/DQ model and a packed artifact are compared step by step on equal inputs, with ONNX Runtime at the
    level that keeps its arithmetic and at its default level, which has integer kernels. Any other two run
    freely, and the tensors that both have are compared. A float model beside a quantized one first goes
    through the passes that the plan.json beside the latter names, so that channels which a pass has scaled do
    not show as noise.

    Returns:
        ``layers`` and ``first_divergence``, and either both for the default level too, or ``prepared``:
        whether a float model went through passes.

    Raises:
        InputError: a file cannot be used, or the plan.json is damaged or for another model.
    """
    sides = Side.open(a), Side.open(b)
    packed = [side.form for side in sides if isinstance(side.form, Artifact)]
    qdq = [side.form for side in sides if not side.is_float and not isinstance(side.form, Artifact)]
    if len(packed) == len(qdq) == 1:
        exact = _steps_apart(qdq[0], packed[0], data, workers, Level.BASIC)
        fused = _steps_apart(qdq[0], packed[0], data, workers, Level.DEFAULT)
        return exact | {f"{key}_default": value for key, value in fused.items()}
    first, second = (_prepared(*pair) for pair in (sides, sides[::-1]))
    return _noise((first.form, second.form), data, workers) | {"prepared": (first, second) != sides}


def _steps_apart(
    proto: onnx.ModelProto, artifact: Artifact, data: Dataset, workers: int, level: Level
) -> dict[str, Any]:
    found = layer_agreement(proto, artifact, data, LAYER_SAMPLES, workers, level)
    keys = ("lsb_0", "lsb_1", "lsb_2", "lsb_3_or_more")
    rows = [
        {"name": layer.name, "op": layer.op, "max_lsb": layer.max_lsb}
        | dict(zip(keys, layer.shares(), strict=True))
        for layer in found
    ]
    return {"layers": rows, "first_divergence": _first(rows, lambda row: row["max_lsb"] > 0)}


def _prepared(side: Side, other: Side) -> Side:
    """Bring a float model into the form that the plan beside the other was made for, if there is a plan."""
    plan = other.path.parent / PLAN
    if not side.is_float or other.is_float or not plan.is_file():
        return side
    model = read_model(side.path)
    prepare(model, plan)
    return replace(side, form=to_proto(model))


def _noise(forms: Sequence[onnx.ModelProto | Artifact], data: Dataset, workers: int) -> dict[str, Any]:
    feeds = next(iter(data.batches(LAYER_SAMPLES, LAYER_SAMPLES)))
    reference, other = (_values(form, feeds, workers) for form in forms)
    rows = [
        {"name": name, "sqnr_db": sqnr([other[name]], [values]), "cosine": cosine([other[name]], [values])}
        for name, values in reference.items()
        if name in other and values.dtype.kind == "f" and values.shape == other[name].shape
    ]
    return {"layers": rows, "first_divergence": _first(rows, lambda row: row["sqnr_db"] < EQUAL_DB)}


def _values(
    form: onnx.ModelProto | Artifact, feeds: Mapping[str, NDArray[Any]], workers: int
) -> dict[str, NDArray[Any]]:
    """Return every tensor of a run in real numbers, by name, in the order of computation."""
    if isinstance(form, Artifact):
        traced = open_engine(form)[0].trace(feeds)
        return {name: to_floats(codes, form.tensors[name]) for name, codes in traced.items()}
    # Codes say nothing beside real numbers, and ONNX Runtime hands out none of fewer than 8 bits.
    nodes = [node for node in form.graph.node if node.op_type != "QuantizeLinear"]
    names = [
        name.removesuffix(".dq") if node.op_type in DEQUANTIZERS else name
        for node in nodes
        for name in node.output
        if name
    ]
    probed, outputs = expose(form, list(dict.fromkeys(names)))
    session = Session(probed, Level.BASIC, workers)
    typed = session.described()
    kept = {name: source for name, source in outputs.items() if source in typed}
    return dict(zip(kept, session.run(feeds, list(kept.values())), strict=True))


def _first(rows: Sequence[Mapping[str, Any]], differs: Callable[[Mapping[str, Any]], bool]) -> str | None:
    return next((str(row["name"]) for row in rows if differs(row)), None)
