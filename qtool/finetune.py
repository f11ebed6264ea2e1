"""``qtool finetune``: trains a model under a plan, and writes what ``qtool quantize`` writes."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from passes.errors import UsageError
from passes.ir.plan_file import MAX_PLAN_BYTES
from passes.pipeline import to_text
from qtool.quantization import run_quantize
from qtool.request import QuantizeRequest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from passes.execution.preprocess import Preprocess
    from passes.transform.finetune import Finetune
    from qtool.report import Report

CHECKPOINT = "finetune.checkpoint"
"""File in the folder for the results, while a run is under way or was interrupted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FinetuneRequest:
    """One run.

    Attributes:
        model: the .onnx file.
        plan: its plan.json.
        out: folder for the results; one that holds nothing but a checkpoint is gone on with.
        train: where the samples to learn from are.
        target: name of a machine, or path of its .toml file; ``None`` takes that of the plan.
        eval: where the held-out samples are; ``None`` to measure nothing.
        preprocess: how images become inputs.
        samples: use the first so many of each set.
        metric: task metric; ``None`` lets the data decide.
        step: the pass, with its options; its checkpoint and label offset are those of the request.
        seed: root of every random choice.
        workers: threads; 0 leaves the choice to the libraries.
        forms: what to write, out of `qtool.request.FORMS`.
        force: write into a folder that holds files already.
    """

    model: Path
    plan: Path
    out: Path
    train: str
    step: Finetune
    target: str | None = None
    eval: str | None = None
    preprocess: Preprocess | None = None
    samples: int | None = None
    metric: str | None = None
    seed: int = 0
    workers: int = 0
    forms: tuple[str, ...] = ("qdq", "packed")
    force: bool = False

    def as_quantize(self) -> QuantizeRequest:
        """Return the compilation that begins with the plan and consists of the one pass.

        Raises:
            UsageError: the request contradicts itself, names something unknown, or cannot be written.
        """
        return QuantizeRequest(
            model=self.model,
            plan=self.plan,
            out=self.out,
            train=self.train,
            eval=self.eval,
            target=self.target or _machine_of(self.plan),
            preprocess=self.preprocess,
            samples=self.samples,
            metric=self.metric,
            label_offset=self.step.label_offset,
            pipeline=to_text((self.step,)),
            seed=self.seed,
            workers=self.workers,
            forms=self.forms,
            force=self.force or _only_checkpoint(self.out),
        )


def run_finetune(request: FinetuneRequest, tell: Callable[[str, int, int], None]) -> Report:
    """Train, and write the folder; whatever ends the process, its checkpoint stays there.

    Args:
        request: what to do.
        tell: called with (stage, done, total) as work proceeds.

    Raises:
        InputError: model, plan, data or checkpoint cannot be used.
        UsageError: PyTorch is missing, or labels that are asked for are.
    """
    report = run_quantize(request.as_quantize(), tell)
    (request.out / CHECKPOINT).unlink(missing_ok=True)
    return report


def _only_checkpoint(folder: Path) -> bool:
    return folder.is_dir() and [file.name for file in folder.iterdir()] == [CHECKPOINT]


def _machine_of(plan: Path) -> str:
    """Return the machine that a plan was made for; everything else about the file is checked later."""
    try:
        if plan.stat().st_size <= MAX_PLAN_BYTES:
            return str(json.loads(plan.read_text(encoding="utf-8"))["target"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise UsageError(f"--plan {plan}: says no target: {error!r}; give --target") from error
    raise UsageError(f"--plan {plan}: expected a plan of at most {MAX_PLAN_BYTES} bytes")
