"""Exchanging two folders in one step, which Python has no function for."""

from __future__ import annotations

import ctypes
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_HERE, _EXCHANGE = -100, 2
"""AT_FDCWD and RENAME_EXCHANGE of Linux."""


def swap(left: Path, right: Path) -> bool:
    """Exchange two folders of one file system: a reader finds either the one or the other in a place.

    Returns:
        False, with nothing changed, where the system or the file system cannot: it needs Linux.
    """
    function = getattr(ctypes.CDLL(None), "renameat2", None)
    if function is None:
        return False
    return bool(function(_HERE, os.fsencode(left), _HERE, os.fsencode(right), _EXCHANGE) == 0)
