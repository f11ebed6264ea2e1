"""Several output files that appear together or not at all, whatever ends the process."""

from __future__ import annotations

import fcntl
import os
import shutil
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from qtool.swap import swap

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def bundle(folder: Path) -> Iterator[Path]:
    """Yield an empty staging folder whose files move into `folder` at the end, unless an exception passes.

    Files of the same names are replaced, others stay. The folder changes in one step, where it is new or
    holds files only; else files move one by one, and the old ones are put back if that fails half-way.
    """
    folder = folder.resolve()
    folder.parent.mkdir(parents=True, exist_ok=True)
    staging = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
    with ExitStack() as held:
        # A staging folder without a lock is a dead one: no other run may look before this one has its lock.
        with _locked(folder.parent, fcntl.LOCK_EX):
            _sweep(folder)
            staging.mkdir()
            held.enter_context(_locked(staging))
        try:
            yield staging
            if not (_move_whole(staging, folder) or _swap_whole(staging, folder)):
                _move_files(staging, folder)
        finally:
            shutil.rmtree(staging, ignore_errors=True)


@contextmanager
def _locked(folder: Path, kind: int = fcntl.LOCK_EX | fcntl.LOCK_NB) -> Iterator[None]:
    """Hold a lock by which other runs see that this one lives; the system drops it with the process."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, kind)
        yield
    finally:
        os.close(handle)


def _sweep(folder: Path) -> None:
    """Remove what runs into the same folder left that were killed."""
    for left in folder.parent.glob(f".{_escaped(folder.name)}.*.tmp"):
        with suppress(OSError), _locked(left):
            shutil.rmtree(left, ignore_errors=True)


def _escaped(name: str) -> str:
    return "".join(f"[{letter}]" if letter in "*?[" else letter for letter in name)


def _move_whole(staging: Path, folder: Path) -> bool:
    """Let the staging folder become the folder; False where that holds something."""
    try:
        staging.rename(folder)
    except OSError:
        if folder.is_dir() and any(folder.iterdir()):
            return False
        raise
    return True


def _swap_whole(staging: Path, folder: Path) -> bool:
    """Let the staging folder, with all other files, take the place of the folder; False where it cannot."""
    entries = list(folder.iterdir())
    # A process that stands in the folder would be left in the old one.
    if any(entry.is_dir() for entry in entries) or folder in (Path.cwd(), *Path.cwd().parents):
        return False
    linked = [entry for entry in entries if not (staging / entry.name).exists()]
    try:
        for entry in linked:
            os.link(entry, staging / entry.name, follow_symlinks=False)
        shutil.copymode(folder, staging)
    except OSError:
        swapped = False
    else:
        swapped = swap(staging, folder)
    if not swapped:
        for entry in linked:
            (staging / entry.name).unlink(missing_ok=True)
    return swapped


def _move_files(staging: Path, folder: Path) -> None:
    kept = staging / ".old"
    moved: list[str] = []
    files = sorted(staging.iterdir())
    kept.mkdir()
    try:
        for file in files:
            target = folder / file.name
            if target.exists():
                target.replace(kept / file.name)
            moved.append(file.name)
            file.replace(target)
    except BaseException:
        for name in moved:
            (folder / name).unlink(missing_ok=True)
            if (kept / name).exists():
                (kept / name).replace(folder / name)
        raise
