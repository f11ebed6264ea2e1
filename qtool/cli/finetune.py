"""``qtool finetune``: trains a model under a plan."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from qtool.cli import options
from qtool.cli.progress import progress
from qtool.cli.render import show

PLAN = Annotated[Path, typer.Option(help="A plan.json that `qtool quantize` wrote, edited or not.")]
TRAIN = Annotated[str, typer.Option(help="Samples to learn from, with labels or without.")]
TARGET = Annotated[str | None, typer.Option(help="A machine; by default that of the plan.")]
STEPS = Annotated[int, typer.Option(help="Steps of training.")]
BATCH = Annotated[int, typer.Option(help="Samples per step.")]
RATE = Annotated[float, typer.Option(help="Learning rate of the weights, in steps of their codes.")]
LABELS = Annotated[
    float | None, typer.Option(help="Weight of labels in the loss, 0 to 1, beside the float model.")
]
SHIFT = Annotated[int, typer.Option(help="Move pictures at random by up to so many pixels.")]
MIRROR = Annotated[bool, typer.Option("--mirror", help="Swap left and right in half of the pictures.")]
PATIENCE = Annotated[int, typer.Option(help="Stop after so many checks without progress; 0: never.")]
PASS = Annotated[
    str, typer.Option("--options", help="Further options of the pass: step-rate=1e-3 schedule=linear.")
]
DEVICE = Annotated[str, typer.Option(help="cpu, cuda, or auto.")]


def finetune(  # noqa: PLR0913 - one parameter per option
    model: options.MODEL,
    *,
    plan: PLAN,
    train: TRAIN,
    out: options.FOLDER,
    eval_: options.EVAL = None,
    target: TARGET = None,
    steps: STEPS = 500,
    batch: BATCH = 32,
    rate: RATE = 5e-3,
    labels: LABELS = None,
    shift: SHIFT = 0,
    mirror: MIRROR = False,
    patience: PATIENCE = 0,
    pass_options: PASS = "",
    device: DEVICE = "cpu",
    to: options.FORMS = "qdq,packed",
    preprocess: options.PREPROCESS = None,
    samples: options.SAMPLES = None,
    metric: options.METRIC = None,
    label_offset: options.LABEL_OFFSET = 0,
    seed: options.SEED = 0,
    workers: options.WORKERS = 0,
    force: options.FORCE = False,
    json: options.JSON = False,
    quiet: options.QUIET = False,
    debug: options.DEBUG = False,
) -> None:
    """Train a quantized model on data, with labels or without, and write it; its bits stay those of the plan.

    Interrupted, it goes on from its last checkpoint when the same command is given again.
    """
    from dataclasses import replace

    from passes.allocation.quantities import parse_names
    from passes.pipeline import parse
    from passes.transform.finetune import Finetune
    from qtool.cli.summary import show_summary
    from qtool.finetune import CHECKPOINT, FinetuneRequest, run_finetune

    (step,) = parse(f"finetune{{{pass_options}}}") if pass_options else (Finetune(),)
    # Filled in steps: as one call with a line per argument it would not fit a screen.
    tuned = partial(replace, step, steps=steps, batch=batch, rate=rate, labels=labels, device=device)
    tuned = partial(tuned, shift=shift, mirror=mirror, patience=patience, label_offset=label_offset)
    asked = partial(FinetuneRequest, model=model, plan=plan, out=out, train=train, eval=eval_, target=target)
    asked = partial(asked, preprocess=options.read_preprocess(preprocess), samples=samples, metric=metric)
    asked = partial(asked, seed=seed, workers=workers, forms=parse_names(to), force=force)
    request = asked(step=tuned(checkpoint=str(out / CHECKPOINT)))
    with progress(silent=json or quiet) as tell:
        report = run_finetune(request, tell)
    if json:
        show(report.to_json(), as_json=True, quiet=False)
    elif not quiet:
        show_summary(report, out)
