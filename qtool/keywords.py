"""The options of ``qtool quantize`` and ``qtool search`` as keywords, and the requests that they make."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

from hwmodels import load_target
from passes.allocation import quantities as q
from passes.errors import unknown_name
from passes.execution.preprocess import Preprocess
from qtool.request import QuantizeRequest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from qtool.exploration.request import SearchRequest


class SharedOptions(TypedDict, total=False):
    """What every compilation can be told; names and values are those of the command line.

    Lists may be given as text with commas, as on the command line, or as sequences.
    """

    calib: str | Path
    eval: str | Path
    preprocess: str
    samples: int
    metric: str
    label_offset: int
    max_latency: str
    max_energy: str
    max_size: str
    max_bops: str
    max_memory: str
    max_drop: str
    bits: str | Iterable[int]
    pin: str | Iterable[str]
    group_size: int
    shape: str | Iterable[str]
    to: str | Iterable[str]
    ranges: str
    sensitivity: str
    solver: str
    time_limit: float
    seed: int
    force: bool


class QuantizeOptions(SharedOptions, total=False):
    """The options of ``qtool quantize``."""

    minimize: str
    quality_plans: int
    pipeline: str
    segment_size: str
    workers: int


class SearchOptions(SharedOptions, total=False):
    """The options of ``qtool search``; ``solver``, ``time_limit`` and ``max_drop`` are the search's own."""

    evaluations: int
    objectives: str | Iterable[str]
    hopeless: str
    beacons: int
    train: str | Path
    train_steps: int
    finetune: int
    select: int
    knee: bool
    workers: int | str


def known_options(given: Mapping[str, Any], kind: type) -> dict[str, Any]:
    """Return what a command was given that is an option of its request; ``eval_`` is ``eval`` there.

    Args:
        given: parameters of the command, by name.
        kind: the `TypedDict` that lists the options.
    """
    named = {name.rstrip("_"): value for name, value in given.items()}
    return {name: value for name, value in named.items() if name in kind.__annotations__}


def check_options(options: Mapping[str, Any], kind: type) -> None:
    """Refuse options that a command does not have.

    Args:
        options: by name.
        kind: the `TypedDict` that lists those there are.

    Raises:
        UsageError: an unknown option; names the nearest.
    """
    known = kind.__annotations__
    for name in options:
        if name not in known:
            raise unknown_name("option", name, known)


def quantize_request(
    model: str | Path, target: str, out: str | Path, options: Mapping[str, Any]
) -> QuantizeRequest:
    """Return the request that a command line with these options would make.

    Args:
        model: the .onnx file.
        target: name of a machine, or its .toml file.
        out: folder for the results.
        options: out of `QuantizeOptions`; ``None`` stands for one that is left out.

    Raises:
        UsageError: an option is unknown, cannot be read, or contradicts another.
        HardwareError: the target is unknown or its file is damaged.
    """
    check_options(options, QuantizeOptions)
    given = {name: value for name, value in options.items() if value is not None}
    limits = {metric: given.pop(f"max_{word}", None) for word, metric in q.METRICS.items()}
    budgets = tuple(q.parse_budget(metric, text) for metric, text in limits.items() if text is not None)
    return QuantizeRequest(
        model=Path(model), target=str(target), out=Path(out), budgets=budgets, **_fields(given)
    )


def search_request(
    model: str | Path, target: str, out: str | Path, options: Mapping[str, Any]
) -> SearchRequest:
    """Return the request that ``qtool search`` with these options would make.

    Args:
        model: the .onnx file.
        target: name of a machine, or its .toml file.
        out: folder of the search.
        options: out of `SearchOptions`; ``None`` stands for one that is left out.

    Raises:
        UsageError: an option is unknown, cannot be read, or contradicts another.
        HardwareError: the target is unknown or its file is damaged.
    """
    from qtool.exploration.request import SENSITIVITY, SearchRequest, parse_workers

    check_options(options, SearchOptions)
    given = {name: value for name, value in options.items() if value is not None}
    own = {name: given.pop(name) for name in _OF_SEARCH if name in given}
    processes, cluster = parse_workers(str(own.pop("workers", 0)))
    own.setdefault("objectives", ("loss", q.word_of(q.first_metric(load_target(str(target))))))
    # The folder may hold files: those of the search that is resumed, which SearchRequest checks.
    base = quantize_request(model, target, out, {"sensitivity": SENSITIVITY} | given | {"force": True})
    return SearchRequest(base=base, processes=processes, cluster=cluster, **_fields(own))


def _fields(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return fields of a request with their values, from options as they were given."""
    return {
        _FIELDS.get(name, name): _READERS[name](value) if name in _READERS else value
        for name, value in options.items()
    }


def _text(value: str | Iterable[object]) -> str:
    """Write a sequence as the command line does."""
    return value if isinstance(value, str) else ",".join(str(item) for item in value)


def _pins(value: str | Iterable[str]) -> tuple[object, ...]:
    return tuple(q.parse_pin(text) for text in ([value] if isinstance(value, str) else value))


_FIELDS = {
    "time_limit": "time_limit_s",
    "to": "forms",
    "pin": "pins",
    "shape": "shapes",
    "segment_size": "segment_bytes",
}
"""Options whose field of `QuantizeRequest` has another name."""
_READERS: dict[str, Callable[[Any], object]] = {
    "calib": str,
    "eval": str,
    "train": str,
    "preprocess": Preprocess.parse,
    "max_drop": q.parse_drop,
    "minimize": q.parse_metric,
    "segment_size": lambda value: q.parse_bytes(value, "--segment-size"),
    "bits": lambda value: q.parse_bits(_text(value)),
    "pin": _pins,
    "shape": lambda value: q.parse_shapes([value] if isinstance(value, str) else value),
    "to": lambda value: q.parse_names(_text(value)),
    "objectives": lambda value: q.parse_names(_text(value)),
    "hopeless": q.parse_drop,
}
_OF_SEARCH = (
    *("evaluations", "objectives", "hopeless", "beacons", "select", "knee", "workers"),
    *("train", "train_steps", "finetune", "solver", "time_limit", "max_drop", "force"),
)
"""Options that a search takes for itself, rather than for the compilation of its points."""
