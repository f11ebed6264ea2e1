"""How long each operator of a model takes in ONNX Runtime."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np

from passes.execution.session import Session

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import onnx
    from numpy.typing import NDArray

_KERNEL = "_kernel_time"
"""The end of the names of events that stand for one run of one operator; they last whole microseconds."""


@dataclass(frozen=True, slots=True)
class NodeTime:
    """One operator of the model as ONNX Runtime rewrote it.

    Attributes:
        name: of the node; rewriting keeps it where it can.
        op: operator, such as ``"QLinearConv"``.
        seconds: one per run.
    """

    name: str
    op: str
    seconds: tuple[float, ...]

    @property
    def typical_s(self) -> float:
        """The mean of the fastest third: free of interruptions, and finer than the clock's microsecond."""
        fastest = sorted(self.seconds)[: max(1, len(self.seconds) // 3)]
        return float(np.mean(fastest))


def profile_nodes(
    proto: onnx.ModelProto, feeds: Mapping[str, NDArray[Any]], runs: int, threads: int
) -> tuple[NodeTime, ...]:
    """Run a model, fully optimised, and time its operators; a first run is left out.

    Raises:
        ModelError: ONNX Runtime refuses the model.
    """
    with TemporaryDirectory() as folder:
        session = Session(proto, threads=threads, profile=Path(folder) / "profile")
        for _ in range(runs + 1):
            session.run(feeds)
        events = json.loads(session.end_profile().read_text(encoding="utf-8"))
    seconds: dict[tuple[str, str], list[float]] = {}
    for event in events:
        if event.get("cat") == "Node" and event["name"].endswith(_KERNEL):
            node = (event["name"].removesuffix(_KERNEL), event["args"]["op_name"])
            seconds.setdefault(node, []).append(event["dur"] * 1e-6)
    return tuple(NodeTime(name, op, tuple(found[1:])) for (name, op), found in seconds.items())


def wall_s(sessions: Sequence[Session], feeds: Mapping[str, NDArray[Any]], runs: int) -> list[float]:
    """Return the seconds of the fastest of some runs of each session; sessions take turns."""
    fastest = [float("inf")] * len(sessions)
    for _ in range(runs + 1):
        for at, session in enumerate(sessions):
            start = time.perf_counter()
            session.run(feeds)
            fastest[at] = min(fastest[at], time.perf_counter() - start)
    return fastest
