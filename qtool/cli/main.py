"""The app: every command with an example of its use."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from qtool.cli import (
    allocate,
    analyze,
    check,
    compare,
    compare_runs,
    explain,
    finetune,
    inspect,
    lint,
    lower,
    opt,
    passes,
    plan,
    probe,
    quantize,
    report,
    run,
    search,
    targets,
    view,
    weights,
)
from qtool.cli.errors import Command
from qtool.cli.logs import logged

if TYPE_CHECKING:
    from collections.abc import Callable


def _group(text: str, *, completion: bool = False) -> typer.Typer:
    # Without rich, --help and errors come up in half the time.
    return typer.Typer(
        help=text,
        no_args_is_help=True,
        add_completion=completion,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
    )


def _add(group: typer.Typer, name: str, function: Callable[..., None], example: str) -> None:
    group.command(name, cls=Command, epilog=f"Example: qtool {example}")(logged(function))


app = _group("Mixed-precision quantization of ONNX models for a given machine.", completion=True)
_targets, _passes = _group("The machines there are, and what they cost."), _group("The passes there are.")

_add(app, "inspect", inspect.inspect, "inspect model.onnx")
_add(
    app,
    "analyze",
    analyze.analyze,
    "analyze model.onnx --calib calib.npz --target bitfusion -o analysis.json",
)
_add(
    app,
    "quantize",
    quantize.quantize,
    "quantize model.onnx --calib calib.npz --eval eval.npz --target bitfusion --max-latency 0.5x -o out/",
)
_add(
    app,
    "search",
    search.search,
    "search model.onnx --calib calib.npz --eval eval.npz --target bitfusion --objectives loss,energy -o out/",
)
_add(
    app,
    "finetune",
    finetune.finetune,
    "finetune model.onnx --plan out/plan.json --train train.npz --eval eval.npz -o tuned/",
)
_add(app, "allocate", allocate.allocate, "allocate PROBLEM.json --budget bops=0.5f --json")
_add(app, "weights", weights.weights, "weights model.onnx --bits 4 --group-size 32 -o out/")
_add(app, "lower", lower.lower, "lower model.onnx --plan out/plan.json --to qdq,packed -o lowered/")
_add(app, "run", run.run, "run out/model.qpk --input x.npz -o y.npz")
_add(app, "compare", compare.compare, "compare model.onnx out/model.qdq.onnx --data eval.npz")
_add(app, "check", check.check, "check qtool.toml --update-baseline")
_add(app, "lint", lint.lint, "lint out/model.qdq.onnx --runtime onnxruntime==1.31.1")
_add(app, "compare-runs", compare_runs.compare_runs, "compare-runs out-before/ out/ --format markdown")
_add(app, "explain", explain.explain, "explain out/ conv1")
_add(app, "report", report.report, "report out/")
_add(app, "view", view.view, "view out/")
_add(app, "opt", opt.opt, "opt model.onnx -p canonicalize,fold-batchnorm -o folded.onnx")
_plan = _group("Plans from and for other tools.")
app.add_typer(_plan, name="plan")
_add(_plan, "import", plan.import_plan, "plan import quantized.onnx -o imported/")
_add(
    _plan,
    "export",
    plan.export_plan,
    "plan export model.onnx --plan out/plan.json --format aimet -o exported/",
)
app.add_typer(_targets, name="targets")
_add(_targets, "list", targets.list_targets, "targets list")
_add(_targets, "show", targets.show_target, "targets show bitfusion")
_add(_targets, "check", targets.check_target, "targets check mine.toml")
_add(
    _targets,
    "price",
    targets.price_target,
    "targets price bitfusion --layers layers.csv --precision w4a4 --json",
)
_add(_targets, "probe", probe.probe_target, "targets probe -o my-machine.toml")
app.add_typer(_passes, name="passes")
_add(_passes, "list", passes.list_passes, "passes list")
_add(_passes, "show", passes.show_pass, "passes show equalize")


def _print_version(wanted: bool) -> None:
    if wanted:
        from qtool.cli.versions import version_lines

        typer.echo("\n".join(version_lines()))
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Print versions."),
    ] = False,
) -> None:
    """Mixed-precision quantization of ONNX models for a given machine."""
