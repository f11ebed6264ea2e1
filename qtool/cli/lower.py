"""``qtool lower``: the lowering pass alone, from a plan."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from qtool.cli import options
from qtool.cli.render import show

PLAN = Annotated[Path, typer.Option(help="A plan.json that `qtool quantize` wrote, edited or not.")]


def lower(  # noqa: PLR0913 - one parameter per option
    model: options.MODEL,
    *,
    plan: PLAN,
    out: options.FOLDER,
    to: options.FORMS = "qdq,packed",
    force: options.FORCE = False,
    json: options.JSON = False,
    quiet: options.QUIET = False,
    debug: options.DEBUG = False,
) -> None:
    """Write a model in one or more forms, as its plan says."""
    from passes.allocation.quantities import parse_names
    from passes.errors import UsageError, unknown_name
    from qtool.lowering import run_lower
    from qtool.output_folder import check_output_folder
    from qtool.request import FORMS

    forms = parse_names(to)
    for form in forms:
        if form not in FORMS:
            raise unknown_name("form", form, FORMS)
    if not forms:
        raise UsageError(f"--to: expected one or more of {', '.join(FORMS)}, found nothing")
    check_output_folder(out, force=force)
    files = run_lower(model, plan, forms, out, force)
    show({"files": [str(file) for file in files]}, as_json=json, quiet=quiet)
