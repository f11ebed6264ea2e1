"""Reads the file that a machine file names, out of its own folder and nowhere else."""

from __future__ import annotations

from pathlib import Path, PureWindowsPath

from hwmodels.fields import spec_error

MAX_TABLE_BYTES = 1 << 25
"""Largest table that is read: 32 MiB, about half a million rows."""


def read_beside(spec_file: str, table: str) -> bytes:
    """Return the content of a file in the folder of a machine file, or below it.

    Args:
        spec_file: the machine file.
        table: what its key ``table`` says.

    Raises:
        SpecError: the path is absolute, leaves the folder, also by a link, or is no file that can be read, or
            the file is larger than `MAX_TABLE_BYTES`.
    """
    where, folder = "[lookup] table", Path(spec_file).parent
    # A drive of Windows is refused everywhere, so that a machine file means the same anywhere.
    if Path(table).is_absolute() or ".." in Path(table).parts or len(PureWindowsPath(table).drive) > 0:
        raise spec_error(spec_file, where, "a relative path inside the folder of this file", repr(table[:80]))
    try:
        path = (folder / table).resolve()
        if not path.is_relative_to(folder.resolve()):
            raise spec_error(spec_file, where, "a file inside the folder of this file", "a link out of it")
        if not path.is_file():
            raise spec_error(spec_file, where, "a file", f"none at {table[:80]!r}")
        with path.open("rb") as stream:
            data = stream.read(MAX_TABLE_BYTES + 1)
    # A null byte in a path is a ValueError, a loop of links a RuntimeError.
    except (OSError, ValueError, RuntimeError) as error:
        raise spec_error(spec_file, where, "a file that can be read", str(error)[:120]) from error
    if len(data) > MAX_TABLE_BYTES:
        raise spec_error(spec_file, where, f"at most {MAX_TABLE_BYTES} bytes", "more")
    return data
