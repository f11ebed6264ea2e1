"""The `SearchSolver` protocol and the solvers there are."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Protocol

from passes.errors import UsageError, unknown_name

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    import numpy as np

    from passes.search.point import Choices, Point
    from passes.search.task import SearchTask

    Proposals = Generator[Sequence[Choices], Sequence[Point], None]


class SearchSolver(Protocol):
    """Proposes plans, and learns from what they turn out to be.

    A solver knows nothing of data, caches, workers or limits: it yields plans that it wants to know and is
    sent a point for each, in the same order. It ends when it has nothing left to propose; it is closed when
    evaluations or time are used up.
    """

    def propose(self, task: SearchTask, rng: np.random.Generator) -> Proposals:
        """Search.

        Args:
            task: the problem, its objectives and budgets.
            rng: the only source of randomness; the same state gives the same proposals.

        Raises:
            UsageError: the solver cannot deal with an objective, or needs a package that is not installed.
        """
        ...


SEARCH_SOLVERS: dict[str, str] = {
    "sweep": "passes.search.sweep:Sweep",
    "nsga2": "passes.search.nsga2:Nsga2",
    "nsga2-unseeded": "passes.search.nsga2:unseeded",
    "amed": "passes.search.amed:Amed",
    "amp": "passes.search.amp:Amp",
    "quadratic": "passes.search.quadratic:Quadratic",
    "ompq": "passes.search.ompq:Ompq",
    "haq": "passes.search.haq:Haq",
    "annealing": "passes.search.annealing:Annealing",
    "random": "passes.search.random_plans:RandomPlans",
}
"""Name and ``module:callable`` that makes it; the fields of its class are its options."""


def search_solver(name: str) -> SearchSolver:
    """Return the solver of a name, with its default options.

    Raises:
        UsageError: there is none; names the nearest.
    """
    if name not in SEARCH_SOLVERS:
        raise unknown_name("search solver", name, SEARCH_SOLVERS)
    module, _, found = SEARCH_SOLVERS[name].partition(":")
    return getattr(import_module(module), found)()  # type: ignore[no-any-return]


def missing_package(solver: str, package: str, extra: str) -> UsageError:
    """Return the error for a solver whose package is not installed."""
    return UsageError(f"solver {solver} needs {package}; install it with: pip install 'qtool[{extra}]'")
