"""plan.json and plan.safetensors: plans as files."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

from passes.errors import PlanError, UsageError
from passes.ir.codes import CODES_SUFFIX, codes_bytes, read_codes
from passes.ir.plan import QuantPlan

if TYPE_CHECKING:
    from pathlib import Path

MAX_PLAN_BYTES = 1 << 28


def read_plan(path: Path, model_sha256: str) -> QuantPlan:
    """Read plan.json for the model with the given digest.

    Raises:
        PlanError: the file is missing, too large, not JSON, or belongs to another model.
    """
    try:
        if path.stat().st_size > MAX_PLAN_BYTES:
            raise PlanError(f"{path}: expected a plan of at most {MAX_PLAN_BYTES} bytes")
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise PlanError(f"{path}: cannot be read as a plan: {error}") from error
    plan = QuantPlan.from_json(document, model_sha256, str(path))
    digest, kept = document.get("codes_sha256"), document.get("constants", [])
    if digest is not None or kept:
        plan = _with_arrays(plan, path.with_suffix(CODES_SUFFIX), digest)
    if kept != sorted(plan.constants):
        found = f"found {sorted(plan.constants)!s:.80}"
        raise PlanError(f"{path}: the plan needs values of constants {kept!s:.80} beside it, {found}")
    return plan


def write_plan(plan: QuantPlan, path: Path, model_sha256: str, target: str) -> None:
    """Write plan.json, and beside it plan.safetensors when there are arrays; a stale one is removed."""
    document = json.dumps(plan.to_json(model_sha256, target), indent=1, allow_nan=False)
    path.write_text(document + "\n", encoding="utf-8")
    arrays, beside = codes_bytes(plan.codes(), plan.constants), path.with_suffix(CODES_SUFFIX)
    if arrays:
        beside.write_bytes(arrays)
    else:
        beside.unlink(missing_ok=True)


def _with_arrays(plan: QuantPlan, path: Path, digest: object) -> QuantPlan:
    """Add the arrays beside a plan: without a digest, which was taken out, its constants alone."""
    tensors, (found, constants) = dict(plan.tensors), read_codes(path, digest)
    for name, codes in found.items() if digest is not None else ():
        quant = tensors.get(name)
        if quant is None or quant.params is None:
            raise PlanError(f"{path}: holds codes of {name[:80]!r}, for which the plan has no scale")
        try:
            tensors[name] = quant.with_codes(quant.params, codes, quant.points)
        except UsageError as error:
            hint = "after a change of bits, take codes_sha256 out of plan.json: the nearest codes then serve"
            raise PlanError(f"{path}: tensor {name[:80]!r}: {error}; {hint}") from error
    return replace(plan, tensors=tensors, constants=constants)
