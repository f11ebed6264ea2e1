"""Choosing a precision per layer: the problem as data, and solvers that see nothing but numbers."""

from __future__ import annotations

from passes.allocation.allocation import Allocation
from passes.allocation.boundaries import Boundary
from passes.allocation.budget import Budget, parse_budget
from passes.allocation.choices import Choice, LayerChoices
from passes.allocation.evaluate import cheapest, evaluate
from passes.allocation.feasibility import InfeasibleBudgetError
from passes.allocation.problem import AllocationProblem
from passes.allocation.solver import SOLVERS, Solver, solver, solver_names

__all__ = [
    "SOLVERS",
    "Allocation",
    "AllocationProblem",
    "Boundary",
    "Budget",
    "Choice",
    "InfeasibleBudgetError",
    "LayerChoices",
    "Solver",
    "cheapest",
    "evaluate",
    "parse_budget",
    "solver",
    "solver_names",
]
