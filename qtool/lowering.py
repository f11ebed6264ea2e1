"""Write a model and its plan in the forms asked for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from passes.errors import ArtifactError, LoweringError, UsageError
from passes.ir.large import mapped_if_large
from passes.ir.onnx_io import read_model, write_proto
from passes.ir.setup import quantizer_setup
from passes.lowering.encoding import Form
from passes.lowering.packed import Origin, emit_packed
from passes.lowering.qdq import emit_qdq
from qtool import __version__
from qtool.bundle import bundle
from qtool.external_writer import write_with_data
from qtool.output_folder import check_output_folder
from qtool.prepared import prepare

if TYPE_CHECKING:
    from collections.abc import Iterable

    import onnx

    from hwmodels import HardwareModel
    from passes.artifact import Artifact
    from passes.ir.model import Model

FILES = {
    "qdq": "model.qdq.onnx",
    "qcdq": "model.qcdq.onnx",
    "qonnx": "model.qonnx.onnx",
    "matmulnbits": "model.nbits.onnx",
    "packed": "model.qpk",
}
__all__ = ["FILES", "Lowered", "lower_forms", "run_lower", "write_forms"]


@dataclass(frozen=True)
class Lowered:
    """The forms of one plan.

    Attributes:
        qdq: by spelling.
        packed: ``None`` when the graph cannot run on integers alone.
        refusal: why there is no packed form, or empty.
    """

    qdq: dict[Form, onnx.ModelProto]
    packed: Artifact | None
    refusal: str


def lower_forms(model: Model, target: HardwareModel, forms: Iterable[str]) -> Lowered:
    """Emit every form in memory; the Q/DQ form is always there, because results are checked on it.

    A model with floating-point operators between integer ones has no packed form; the reason is kept.
    """
    setup = quantizer_setup(model.graph, target)
    spellings = {Form.QDQ, *(Form(form) for form in forms if form != "packed")}
    qdq = {form: emit_qdq(model, setup, form) for form in sorted(spellings)}
    if "packed" not in forms:
        return Lowered(qdq, None, "")
    try:
        origin = Origin(f"qtool {__version__}", target.name, target.rounding, target.requantization)
        return Lowered(qdq, emit_packed(model, setup, origin), "")
    # An artifact refuses programs that its format does not hold, such as bounds that cross.
    except (LoweringError, ArtifactError) as error:
        return Lowered(qdq, None, str(error))


def write_forms(lowered: Lowered, forms: Iterable[str], folder: Path, *, beside: bool = False) -> list[str]:
    """Write the forms asked for into a folder; return the names of the files.

    Args:
        lowered: the forms.
        forms: names of those to write.
        folder: for the files.
        beside: put the constants of Q/DQ models into files of their own, as external data.
    """
    write = write_with_data if beside else write_proto
    names = []
    for form in forms:
        if form == "packed" and lowered.packed is not None:
            lowered.packed.save(folder / FILES[form])
        elif form != "packed":
            write(lowered.qdq[Form(form)], folder / FILES[form])
        else:
            continue
        names.append(FILES[form])
    return names


def run_lower(model: Path, plan: Path, forms: Iterable[str], out: Path, force: bool) -> list[Path]:
    """Lower a model by a plan.json.

    The graph first goes through the passes that the plan says it fits.

    Raises:
        PlanError: the plan is damaged or for another model.
        LoweringError: the packed form was asked for and does not exist.
        UsageError: an unknown form, or a folder that cannot be used.
    """
    forms = tuple(forms)
    for form in forms:
        if form not in FILES:
            raise UsageError(f"unknown form {form!r}; known: {', '.join(FILES)}")
    check_output_folder(out, force=force)
    with mapped_if_large(model) as mapped:
        opened = read_model(model, mapped)
        lowered = lower_forms(opened, prepare(opened, plan), forms)
        if lowered.refusal:
            raise LoweringError(lowered.refusal)
        with bundle(out) as staging:
            names = write_forms(lowered, forms, staging, beside=mapped is not None)
    return [out / name for name in names]
