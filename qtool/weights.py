"""``qtool weights``: weight-only quantization of matrix products, for models of any size."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from passes.errors import ModelError, UsageError
from passes.ir.external import load_nested
from passes.ir.onnx_io import read_proto, write_proto
from passes.ir.stored_tensor import StoredTensor
from passes.lowering.nbits import BLOCKS, CONTAINERS
from passes.lowering.streamed_blocks import BlockFormat, streamed_blocks
from passes.lowering.weight_products import Product, find_products, use_blocks
from passes.numerics import RangeMethod
from qtool.bundle import bundle
from qtool.external_writer import ExternalWriter
from qtool.files import write_json
from qtool.output_folder import check_output_folder

if TYPE_CHECKING:
    from collections.abc import Callable

    import onnx

MODEL_FILE, REPORT_FILE = "model.nbits.onnx", "weights.json"
RANGES = (RangeMethod.MINMAX, RangeMethod.MSE)


@dataclass(frozen=True, slots=True)
class WeightsRequest:
    """What to do.

    Attributes:
        model: an .onnx file; its external data are read as they are needed.
        out: folder for the results.
        bits: of a weight, out of `CONTAINERS`.
        group_size: input channels that share a scale, out of `BLOCKS`.
        ranges: how scales are chosen, out of `RANGES`.
        force: files in the folder may be replaced.

    Raises:
        UsageError: widths, sizes or methods that there are not, or a folder that cannot be used.
    """

    model: Path
    out: Path
    bits: int = 4
    group_size: int = 32
    ranges: str = RangeMethod.MINMAX.value
    force: bool = False

    def __post_init__(self) -> None:
        """Check what is asked for."""
        for option, value, known in (
            ("--bits", self.bits, CONTAINERS),
            ("--group-size", self.group_size, BLOCKS),
            ("--ranges", self.ranges, [str(method) for method in RANGES]),
        ):
            if value not in known:
                raise UsageError(f"{option}: expected one of {', '.join(map(str, known))}, found {value}")
        check_output_folder(self.out, force=self.force)


def run_weights(request: WeightsRequest, tell: Callable[[str, int, int], None]) -> dict[str, Any]:
    """Write a model whose matrix products read integer weights; everything else stays as it is.

    Weights are read, quantized and written one after the other: no two are in memory at a time.

    Returns:
        The document that is written as weights.json: bytes before and after, and what stays float and why.

    Raises:
        ModelError: the model cannot be used, or has no product that can be quantized.
        DataError: a weight is NaN or infinite.
    """
    proto, sha256 = read_proto(request.model)
    load_nested(proto.graph, request.model)
    products, kept = find_products(proto.graph)
    if not products:
        raise ModelError(f"{request.model}: no matrix product has constant weights in floating point")
    fmt = BlockFormat(request.bits, request.group_size, RangeMethod(request.ranges))
    with bundle(request.out) as staging:
        with ExternalWriter(staging / f"{MODEL_FILE}.data") as writer:
            document = _write(request, proto, products, fmt, writer, tell)
        write_proto(proto, staging / MODEL_FILE)
        document |= {"float": [{"name": name, "reason": reason} for name, reason in kept.items()]}
        document = {"model": str(request.model), "model_sha256": sha256, **document}
        write_json(document, staging / REPORT_FILE)
    return document


def _write(
    request: WeightsRequest,
    proto: onnx.ModelProto,
    products: tuple[Product, ...],
    fmt: BlockFormat,
    writer: ExternalWriter,
    tell: Callable[[str, int, int], None],
) -> dict[str, Any]:
    """Write all constants, and let the graph refer to them."""
    weights = {product.weight: product for product in products}
    constants = list(proto.graph.initializer)
    del proto.graph.initializer[:]
    figures: Counter[str] = Counter()
    for done, tensor in enumerate(constants):
        tell("weights", done, len(constants))
        product = weights.get(tensor.name)
        if product is None:
            figures["other_bytes"] += writer.copy(tensor, request.model, proto.graph)
            continue
        stored = StoredTensor.of(tensor, request.model)
        before = writer.size
        writer.add(streamed_blocks(stored, fmt, transposed=product.transposed), tensor.name, proto.graph)
        figures["weight_bytes"] += writer.size - before
        figures["float_bytes"] += stored.size
        figures["weights"] += stored.shape[0] * stored.shape[1]
    use_blocks(proto, products, fmt)
    bits = 8 * figures["weight_bytes"] / figures["weights"]
    return {
        "layers": len(products),
        "bits": fmt.bits,
        "group_size": fmt.size,
        "bits_per_weight": bits,
        **figures,
    }
