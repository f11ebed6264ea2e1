"""The measurements of a probe, a line each, so that one that was interrupted goes on where it was."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from passes.errors import DataError, UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

MAX_FILE_BYTES = 50_000_000


@dataclass
class Journal:
    """A file of JSON lines: the settings, then one measurement per line.

    Attributes:
        path: the file; made by the first line that is written.
        settings: what the measurements depend on; must not change while the file grows.
        found: seconds by key of a point and round.
    """

    path: Path
    settings: Mapping[str, Any]
    found: dict[str, dict[int, float]] = field(default_factory=dict)

    @classmethod
    def open(cls, path: Path, settings: Mapping[str, Any], *, fresh: bool) -> Journal:
        """Read what was measured before.

        Args:
            path: need not exist.
            settings: plain JSON values.
            fresh: discard the file.

        Raises:
            UsageError: the file was measured with other settings.
            DataError: the file cannot be read, or is no journal.
        """
        journal = cls(path, settings)
        try:
            if fresh:
                path.unlink(missing_ok=True)
            if path.is_file():
                journal._read()
            else:
                path.parent.mkdir(parents=True, exist_ok=True)
                journal._append(dict(settings))
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(f"{path}: the journal cannot be used: {error}; --fresh begins anew") from error
        return journal

    def add(self, key: str, turn: int, seconds: float) -> None:
        """Write one measurement, so that it outlives the process."""
        self.found.setdefault(key, {})[turn] = seconds
        self._append({"point": key, "round": turn, "seconds": seconds})

    def has(self, key: str, turn: int) -> bool:
        """Tell whether a point was measured in a round."""
        return turn in self.found.get(key, {})

    def rounds(self, key: str) -> list[float]:
        """Return the seconds of a point, one per round that was measured."""
        return list(self.found.get(key, {}).values())

    @property
    def count(self) -> int:
        """Measurements in all."""
        return sum(len(rounds) for rounds in self.found.values())

    def _append(self, line: dict[str, Any]) -> None:
        with self.path.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(line) + "\n")

    def _read(self) -> None:
        if self.path.stat().st_size > MAX_FILE_BYTES:
            raise DataError(f"{self.path}: expected at most {MAX_FILE_BYTES} bytes; --fresh begins anew")
        # The last line is cut short when the process ends while it is written.
        whole, _, rest = self.path.read_text(encoding="utf-8").rpartition("\n")
        first, *lines = whole.split("\n")
        self._check(_parsed(first))
        for number, line in enumerate(lines, 2):
            self._take(_parsed(line), number)
        if rest:
            self.path.write_text(f"{whole}\n", encoding="utf-8")

    def _check(self, settings: object) -> None:
        if not isinstance(settings, dict):
            raise DataError(f"{self.path}, line 1: expected the settings of a probe; --fresh begins anew")
        for key in sorted(settings.keys() | self.settings.keys()):
            now, then = self.settings.get(key), settings.get(key)
            if now != then:
                raise UsageError(
                    f"{self.path}: measured with {key} {str(then)[:60]!r}, now it is {str(now)[:60]!r}; "
                    "--fresh begins anew"
                )

    def _take(self, entry: object, number: int) -> None:
        match entry:
            case {"point": str(key), "round": int(turn), "seconds": float(seconds)} if (
                math.isfinite(seconds) and seconds >= 0
            ):
                self.found.setdefault(key, {})[turn] = seconds
            case _:
                raise DataError(
                    f"{self.path}, line {number}: expected a point, a round and seconds; --fresh begins anew"
                )


def _parsed(line: str) -> object:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None
