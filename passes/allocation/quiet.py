"""Keep what a C library prints off standard output, which belongs to the user's JSON."""

from __future__ import annotations

import ctypes
import os
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

STDOUT = 1


@contextmanager
def quiet_stdout() -> Iterator[None]:
    """Send file descriptor 1 to the null device for a while, for all threads of the process.

    HiGHS reports a repaired solution with a plain ``printf`` whatever its options say.
    """
    sys.stdout.flush()
    libc = ctypes.CDLL("ucrtbase" if os.name == "nt" else None)
    libc.fflush(None)
    kept = os.dup(STDOUT)
    sink = os.open(os.devnull, os.O_WRONLY)
    os.dup2(sink, STDOUT)
    try:
        yield
    finally:
        # The C library has a buffer of its own, which would be written after the descriptor is back.
        libc.fflush(None)
        os.dup2(kept, STDOUT)
        os.close(kept)
        os.close(sink)
