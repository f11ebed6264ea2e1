"""`EvaluationCache`: what was measured once, in a SQLite file that survives whatever ends the process."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from math import isfinite, nan
from typing import TYPE_CHECKING

from passes.errors import UsageError
from passes.search.point import Evaluation

if TYPE_CHECKING:
    from pathlib import Path

VERSION = 2
"""Of the tables; a file of another version is set aside."""
APPLICATION = 0x71746F6C
"""Marks the file as one of these: the bytes of "qtol"."""
BUSY_S = 30.0
"""How long to wait for another process that writes."""

_MEASURED = "value, samples, failure, seconds"
_TABLE = """
CREATE TABLE IF NOT EXISTS evaluations (
    digest TEXT NOT NULL, plan TEXT NOT NULL, value REAL, samples INTEGER NOT NULL, failure TEXT NOT NULL,
    seconds REAL, PRIMARY KEY (digest, plan)) WITHOUT ROWID
"""


class EvaluationCache:
    """Evaluations by digest of everything that they depend on, and by plan.

    Several processes may use one file at a time. What was stored before a process is killed is there
    afterwards.

    Attributes:
        message: what was wrong with the file that was found, and where it went; empty when nothing was.
    """

    def __init__(self, path: Path) -> None:
        """Open a file, or begin a new one; a file that cannot be used is set aside.

        Raises:
            UsageError: the file cannot be written.
        """
        self.message = _set_aside(path)
        try:
            self._file = sqlite3.connect(path, timeout=BUSY_S, isolation_level=None)
            self._file.execute("PRAGMA journal_mode=WAL")
            self._file.execute(f"PRAGMA application_id={APPLICATION}")
            self._file.execute(f"PRAGMA user_version={VERSION}")
            self._file.execute(_TABLE)
        except sqlite3.Error as error:
            raise UsageError(f"cache {path}: cannot be written: {error}") from error

    def get(self, digest: str, plan: str) -> Evaluation | None:
        """Return what is known of a plan."""
        query = f"SELECT {_MEASURED} FROM evaluations WHERE digest = ? AND plan = ?"
        row = self._file.execute(query, (digest, plan)).fetchone()
        if row is None:
            return None
        value, samples, failure, seconds = row
        if failure:
            return Evaluation.failed(failure)
        return Evaluation(value, samples, seconds=nan if seconds is None else seconds)

    def put(self, digest: str, plan: str, evaluation: Evaluation) -> None:
        """Store an evaluation; of two for the same plan the first stays."""
        value = None if evaluation.failure else evaluation.value
        seconds = evaluation.seconds if isfinite(evaluation.seconds) else None
        row = (digest, plan, value, evaluation.samples, evaluation.failure, seconds)
        self._file.execute("INSERT OR IGNORE INTO evaluations VALUES (?, ?, ?, ?, ?, ?)", row)

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _set_aside(path: Path) -> str:
    """Rename a file that is no cache of this version; say so."""
    if not path.exists() or path.stat().st_size == 0:
        return ""
    reason = _unusable(path)
    if not reason:
        return ""
    number = 1
    while (aside := path.with_name(f"{path.name}.{number}.bad")).exists():
        number += 1
    path.replace(aside)
    for suffix in ("-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    return f"the cache {path} {reason}; it was set aside as {aside.name} and a new one begun"


def _unusable(path: Path) -> str:
    """Say why a file cannot be used; empty when it can."""
    try:
        with closing(sqlite3.connect(path, timeout=BUSY_S)) as file:
            application = file.execute("PRAGMA application_id").fetchone()[0]
            version = file.execute("PRAGMA user_version").fetchone()[0]
            if (application, version) != (APPLICATION, VERSION):
                return f"is of version {version}, not of version {VERSION} of this program"
            state = file.execute("PRAGMA quick_check(1)").fetchone()[0]
            file.execute(f"SELECT digest, plan, {_MEASURED} FROM evaluations LIMIT 1").fetchone()
    # The message of sqlite quotes the file, whose bytes may be no text.
    except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
        return f"is damaged ({error})"
    return "" if state == "ok" else f"is damaged ({state})"
