"""`SearchRequest`: what ``qtool search`` was asked for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hwmodels import load_target
from passes.allocation.problem import LOSS
from passes.allocation.quantities import parse_metric
from passes.errors import UsageError, unknown_name
from passes.search.point import MEASURED_WORD
from passes.search.solver import SEARCH_SOLVERS

if TYPE_CHECKING:
    from qtool.request import QuantizeRequest

CACHE = "evaluations.sqlite"
AUTO = "auto"
SUMS, NO_SUMS = "sweep", "nsga2"
"""What ``auto`` stands for, where all objectives are sums over layers and where one is not; see
`benchmarks/search.py`."""
SENSITIVITY = "kl"
"""Estimate of losses unless another is asked for: measured at all widths, as a search affords it."""
DASK = "dask://"
MOST_BEACONS = 64
BEACONS = "beacons"
"""Folder of the refined plans, inside that of the search."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchRequest:
    """One search; valid by construction, as far as that can be told without opening the model.

    Attributes:
        base: model, data, target, widths, pins and budgets; its ``out`` is the folder of the search. Its
            solver and its time limit are for single budgets.
        solver: a name in `passes.search.solver.SEARCH_SOLVERS`, or ``auto``.
        evaluations: different plans to measure.
        time_limit_s: wall-clock seconds for the search; infinite for none.
        objectives: words such as ``loss,latency``.
        max_drop: limit on the measured loss, as a fraction; ``None`` for none.
        hopeless: see `passes.search.payload.Payload`.
        beacons: plans that are refined before the search for others to borrow weights from.
        train: where the samples are that plans are fine-tuned on; ``None`` for no training.
        train_steps: of the fine-tuning of each beacon and of the point to lower.
        finetune: steps of fine-tuning of every plan before it is measured; 0 for none.
        processes: local processes; 0 measures in this one.
        cluster: ``host:port`` of a Dask scheduler; empty for none.
        select: index on the front of the point to lower.
        knee: lower the point of the knee.
        force: write into a folder that holds files of something else.

    Raises:
        UsageError: the request contradicts itself, names something unknown, or has no evaluation data.
    """

    base: QuantizeRequest
    solver: str = AUTO
    evaluations: int = 200
    time_limit_s: float = float("inf")
    objectives: tuple[str, ...] = (LOSS, "latency")
    max_drop: float | None = None
    hopeless: float = 0.0
    beacons: int = 0
    train: str | None = None
    train_steps: int = 100
    finetune: int = 0
    processes: int = 0
    cluster: str = ""
    select: int | None = None
    knee: bool = False
    force: bool = False

    def __post_init__(self) -> None:
        """Check names, numbers and the folder."""
        if self.solver not in (AUTO, *SEARCH_SOLVERS):
            raise unknown_name("search solver", self.solver, [AUTO, *SEARCH_SOLVERS])
        _check_numbers(self)
        costs = [word for word in self.objectives if word != LOSS]
        for word in costs:
            if word != MEASURED_WORD:
                parse_metric(word)
        if MEASURED_WORD in costs and (self.processes or self.cluster):
            raise UsageError(
                f"--objectives {MEASURED_WORD}: plans that run side by side slow each other down; "
                "leave out --workers"
            )
        if not costs:
            raise UsageError("--objectives: expected a cost besides the loss, such as loss,latency")
        if self.base.calib is None or self.base.eval is None:
            raise UsageError("a search measures plans on held-out data; give --calib and --eval")
        if self.select is not None and self.knee:
            raise UsageError("--select and --knee both name the point to lower; give one")
        _check_folder(self)

    @property
    def solver_name(self) -> str:
        """Name of the solver that runs; ``auto`` takes what the objectives allow."""
        if self.solver != AUTO:
            return self.solver
        if MEASURED_WORD in self.objectives:
            return NO_SUMS
        additive = load_target(self.base.target).additive
        words = [word for word in self.objectives if word != LOSS]
        return SUMS if all(parse_metric(word) in additive for word in words) else NO_SUMS


def parse_workers(text: str) -> tuple[int, str]:
    """Read ``--workers``: a number of local processes, or ``dask://host:port``.

    Returns:
        Number of processes, and ``host:port`` or nothing.

    Raises:
        UsageError: neither of the two.
    """
    if text.startswith(DASK) and ":" in text.removeprefix(DASK):
        return 0, text.removeprefix(DASK).rstrip("/")
    if not text.isascii() or not text.isdigit() or len(text) > 4:
        raise UsageError(
            f"--workers: expected a number of processes or dask://host:port, found {text[:40]!r}"
        )
    return int(text), ""


def _check_training(request: SearchRequest) -> None:
    if not 0 <= request.beacons <= MOST_BEACONS:
        raise UsageError(f"--beacons: expected 0 to {MOST_BEACONS}, found {request.beacons}")
    if request.finetune < 0:
        raise UsageError(f"--finetune: expected 0 or more steps, found {request.finetune}")
    if request.finetune and request.train is None:
        raise UsageError("--finetune: needs samples to learn from; give --train")
    if request.train is not None and not (request.beacons or request.finetune):
        raise UsageError("--train: nothing to train; give --finetune, such as 50, or --beacons, such as 4")
    if request.train_steps < 1:
        raise UsageError(f"--train-steps: expected 1 or more, found {request.train_steps}")


def _check_numbers(request: SearchRequest) -> None:
    _check_training(request)
    if request.evaluations < 1:
        raise UsageError(f"--evaluations: expected 1 or more, found {request.evaluations}")
    if not request.time_limit_s > 0:
        raise UsageError(f"--time-limit: expected a positive number of seconds, found {request.time_limit_s}")
    if request.max_drop is not None and not 0 <= request.max_drop <= 1:
        raise UsageError(f"--max-drop: expected a fraction from 0 to 1, found {request.max_drop}")
    if request.max_drop is not None and request.base.metric == "sqnr":
        raise UsageError("--max-drop counts percentage points, and sqnr is in dB; take another --metric")
    if not 0 <= request.hopeless <= 1:
        raise UsageError(f"--hopeless: expected 0% to 100%, found {request.hopeless:%}")


def _check_folder(request: SearchRequest) -> None:
    """Refuse a folder that holds files of something else than a search."""
    out = request.base.out
    known = (out / CACHE).is_file() or (out / BEACONS).is_dir()
    if out.is_dir() and any(out.iterdir()) and not (request.force or known):
        raise UsageError(
            f"-o {out}: the folder holds files, but no search to resume; choose another, or give --force"
        )
