"""Plans from and for other tools: what `qtool plan` does."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hwmodels import load_target
from passes.errors import unknown_name
from passes.interchange.aimet import from_aimet, to_aimet
from passes.interchange.encodings import Format, read_json
from passes.interchange.extract import extract
from passes.interchange.ort_overrides import from_overrides, to_overrides
from passes.interchange.planned import plan_from_encodings, rounded_model
from passes.ir.onnx_io import read_model, to_proto, write_proto
from passes.ir.plan_file import write_plan
from qtool.bundle import bundle
from qtool.output_folder import check_output_folder
from qtool.prepared import prepare

if TYPE_CHECKING:
    from pathlib import Path

    from passes.interchange.extract import Extracted

MODEL_FILE, PLAN_FILE = "model.onnx", "plan.json"
ENCODINGS_FILES = {
    Format.AIMET: "model.encodings",
    Format.AIMET_LEGACY: "model.encodings",
    Format.ORT_OVERRIDES: "overrides.json",
}
"""Name of the file of encodings, by format."""


@dataclass(frozen=True, slots=True)
class ImportRequest:
    """What to import.

    Attributes:
        model: a quantized .onnx file, or a float one when there are encodings.
        out: folder for model.onnx and plan.json.
        target: name of the machine that the plan is for.
        encodings: file of encodings, or ``None``.
        kind: its format, out of `Format`.
        float_io: let integer inputs and results of a quantized model be floats.
        force: files in the folder may be replaced.
    """

    model: Path
    out: Path
    target: str = "generic"
    encodings: Path | None = None
    kind: str = Format.AIMET
    float_io: bool = False
    force: bool = False


def run_import(request: ImportRequest) -> dict[str, Any]:
    """Write the float model and the plan; return what was found.

    Raises:
        ModelError: the model cannot be used, or nothing in it is quantized.
        PlanError: the encodings cannot be used.
        UsageError: an unknown format or target, or a folder that cannot be used.
    """
    kind = _format(request.kind)
    check_output_folder(request.out, force=request.force)
    load_target(request.target)
    found = _found(request, kind)
    with bundle(request.out) as staging:
        write_proto(found.proto, staging / MODEL_FILE)
        write_plan(found.model.plan, staging / PLAN_FILE, found.model.sha256, request.target)
        names = sorted(file.name for file in staging.iterdir())
    layers = [
        {"name": name, "op": bits.op, "precision": str(bits.precision)}
        for name, bits in found.model.plan.layers.items()
    ]
    kept = [{"node": name, "reason": reason} for name, reason in found.kept.items()]
    return {"files": [str(request.out / name) for name in names], "layers": layers, "kept": kept}


def _found(request: ImportRequest, kind: Format) -> Extracted:
    model = read_model(request.model)
    if request.encodings is None:
        return extract(model, request.float_io)
    document, where = read_json(request.encodings), str(request.encodings)
    read = from_overrides if kind is Format.ORT_OVERRIDES else from_aimet
    return plan_from_encodings(model, read(document, where))


def run_export(model: Path, plan: Path, kind: str, out: Path, *, force: bool) -> dict[str, Any]:
    """Write a plan as a file of encodings and the float model that it is for; return the names of the files.

    The float model is prepared as the plan asks for, and has the weights and biases that the plan means.

    Raises:
        PlanError: the plan cannot be used, or holds what the format does not have.
        UsageError: an unknown format, or a folder that cannot be used.
    """
    chosen = _format(kind)
    check_output_folder(out, force=force)
    opened = read_model(model)
    prepare(opened, plan)
    tensors = opened.plan.tensors
    document: dict[str, Any] = (
        dict(to_overrides(tensors)) if chosen is Format.ORT_OVERRIDES else to_aimet(tensors, chosen)
    )
    rounded_model(opened)
    with bundle(out) as staging:
        write_proto(to_proto(opened), staging / MODEL_FILE)
        text = json.dumps(document, indent=1, allow_nan=False)
        (staging / ENCODINGS_FILES[chosen]).write_text(text + "\n", encoding="utf-8")
    return {"files": [str(out / name) for name in (MODEL_FILE, ENCODINGS_FILES[chosen])]}


def _format(kind: str) -> Format:
    if kind not in list(Format):
        raise unknown_name("format", kind[:80], list(Format))
    return Format(kind)
