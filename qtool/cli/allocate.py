"""``qtool allocate``: solves a table of choices that is given, whatever it was made from."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from qtool.cli import options
from qtool.cli.render import show

PROBLEM = Annotated[Path, typer.Argument(help="A PROBLEM.json file.", show_default=False)]
BUDGET = Annotated[
    list[str] | None, typer.Option(help="metric=value, or metric=0.25f of the uniform range; repeatable.")
]
MINIMIZE = Annotated[str, typer.Option(help="loss, or a cost metric of the problem.")]


def allocate(  # noqa: PLR0913 - one parameter per option
    problem: PROBLEM,
    *,
    budget: BUDGET = None,
    minimize: MINIMIZE = "loss",
    solver: options.SOLVER = "ilp",
    seed: options.SEED = 0,
    time_limit: options.TIME_LIMIT = 60.0,
    out: options.FILE_IF_ANY = None,
    json: options.JSON = False,
    quiet: options.QUIET = False,
    debug: options.DEBUG = False,
) -> None:
    """Pick one choice per layer within budgets.

    The loss, or the cost named by --minimize, is the least that is possible.
    """
    from passes.allocation import AllocationProblem, parse_budget
    from passes.allocation import solver as find_solver
    from qtool.files import write_json
    from qtool.output_folder import check_output_file

    if out is not None:
        check_output_file(out)
    chosen = find_solver(solver)
    table = AllocationProblem.load(problem)
    budgets = [parse_budget(text, table) for text in budget or ()]
    found = chosen.solve(table, budgets, minimize=minimize, seed=seed, time_limit_s=time_limit)
    document = found.to_json(table)
    if out is not None:
        write_json(document, out)
    show(document, as_json=json, quiet=quiet)
