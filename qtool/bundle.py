"""Several output files that appear together or not at all."""

from __future__ import annotations

import os
import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextmanager
def bundle(folder: Path) -> Iterator[Path]:
    """Yield an empty staging folder whose files move into `folder` at the end, unless an exception passes.

    Files of the same names are replaced; if that fails half-way, the old ones are put back.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    staging = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
    kept = folder.with_name(f".{folder.name}.{os.getpid()}.old")
    created = not folder.exists()
    try:
        staging.mkdir()
        kept.mkdir()
        yield staging
        folder.mkdir(exist_ok=True)
        _exchange(staging, folder, kept)
    except BaseException:
        if created and folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()
        raise
    finally:
        shutil.rmtree(staging, ignore_errors=True)
        shutil.rmtree(kept, ignore_errors=True)


def _exchange(staging: Path, folder: Path, kept: Path) -> None:
    moved: list[str] = []
    try:
        for file in sorted(staging.iterdir()):
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
