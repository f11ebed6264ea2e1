"""Whether a folder can take the results; asked before the work, so that hours are not spent for nothing."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from passes.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path


def check_output_folder(folder: Path, *, force: bool) -> None:
    """Refuse a folder that cannot be written, or that holds files and may not be changed; creates nothing.

    Args:
        folder: need not exist.
        force: files in it may be replaced; others stay.

    Raises:
        UsageError: it is a file, below a file, read-only, or holds files without ``force``.
    """
    try:
        _check_writable(folder)
        occupied = not force and folder.is_dir() and any(folder.iterdir())
    except OSError as error:
        raise UsageError(f"-o {folder}: cannot be used: {error.strerror}") from error
    if occupied:
        raise UsageError(f"-o {folder}: the folder holds files; choose another, or replace them with --force")


def check_output_file(file: Path) -> None:
    """Refuse a file that cannot be written; creates nothing.

    Raises:
        UsageError: it is a folder, or its folder cannot be written.
    """
    if file.is_dir():
        raise UsageError(f"-o {file}: is a folder; name a file in it")
    _check_writable(file.parent)


def _check_writable(folder: Path) -> None:
    """Check the nearest folder that exists: the others are made in it."""
    existing = folder.absolute()
    while not existing.exists() and existing != existing.parent:
        existing = existing.parent
    if not existing.is_dir():
        raise UsageError(f"-o {folder}: {existing} is a file; choose a folder")
    if not os.access(existing, os.W_OK | os.X_OK):
        raise UsageError(f"-o {folder}: {existing} cannot be written; choose another folder")
