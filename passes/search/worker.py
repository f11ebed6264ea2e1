"""What runs in a worker: one measurer per process, made from a payload that is sent once."""

from __future__ import annotations

import os
import signal
import threading
import time
from typing import TYPE_CHECKING

from passes.search.measurer import Measurer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hwmodels import Precision
    from passes.search.payload import Payload
    from passes.search.point import Evaluation

_LOCK = threading.Lock()
_measurers: dict[str, Measurer] = {}
WATCH_S = 1.0


def start(payload: Payload) -> None:
    """Prepare a process of a pool: it leaves interruptions to its parent, and ends when the parent does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_leave_with, args=(os.getppid(),), daemon=True).start()
    _measurer(payload)


def measure_prepared(bits: Mapping[str, Precision]) -> Evaluation:
    """Measure a plan in a process that `start` has prepared."""
    (measurer,) = _measurers.values()
    return measurer.measure(bits)


def measure(payload: Payload, bits: Mapping[str, Precision]) -> Evaluation:
    """Measure a plan; the first call with a payload prepares the process for it.

    Threads of one process take turns.
    """
    with _LOCK:
        return _measurer(payload).measure(bits)


def _measurer(payload: Payload) -> Measurer:
    if payload.digest not in _measurers:
        _measurers.clear()
        _measurers[payload.digest] = Measurer(payload)
    return _measurers[payload.digest]


def _leave_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(WATCH_S)
    os._exit(1)
