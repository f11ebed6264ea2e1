"""`Fields`: the entries of a JSON object, taken one by one, each with its type and range, and none left."""

from __future__ import annotations

from typing import Any

from passes.errors import ArtifactError


class Fields:
    """The entries of one JSON object that have not been taken yet.

    Every method raises `ArtifactError` when the entry is absent or not what was asked for.

    Attributes:
        where: stands in front of every message.
    """

    def __init__(self, value: object, where: str) -> None:
        """Start with all entries of `value`, which must be a JSON object."""
        if not isinstance(value, dict):
            raise ArtifactError(f"{where}: expected an object, found {str(value)[:80]!r}")
        self.where = where
        self._left: dict[str, Any] = dict(value)

    def take(self, key: str) -> object:
        """Return any value."""
        if key not in self._left:
            raise ArtifactError(f"{self.where}: lacks {key!r}")
        return self._left.pop(key)

    def text(self, key: str) -> str:
        """Return a string."""
        value = self.take(key)
        if not isinstance(value, str):
            raise self._wrong(key, "a string", value)
        return value

    def integer(self, key: str, low: int, high: int) -> int:
        """Return an integer in ``low..high``."""
        value = self.take(key)
        if type(value) is not int or not low <= value <= high:
            raise self._wrong(key, f"an integer in {low}..{high}", value)
        return value

    def optional_integer(self, key: str, low: int, high: int) -> int | None:
        """Return an integer in ``low..high``, or ``None`` for null or an absent entry."""
        if self._left.get(key) is None:
            self._left.pop(key, None)
            return None
        return self.integer(key, low, high)

    def flag(self, key: str) -> bool:
        """Return a boolean."""
        value = self.take(key)
        if not isinstance(value, bool):
            raise self._wrong(key, "true or false", value)
        return value

    def number(self, key: str) -> float:
        """Return a number."""
        value = self.take(key)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self._wrong(key, "a number", value)
        return float(value)

    def items(self, key: str) -> list[object]:
        """Return a list of anything."""
        value = self.take(key)
        if not isinstance(value, list):
            raise self._wrong(key, "a list", value)
        return value

    def texts(self, key: str) -> tuple[str, ...]:
        """Return a list of strings."""
        value = self.items(key)
        if not all(isinstance(item, str) for item in value):
            raise self._wrong(key, "a list of strings", value)
        return tuple(str(item) for item in value)

    def child(self, key: str) -> Fields:
        """Return a nested object."""
        return Fields(self.take(key), f"{self.where}: {key}")

    def has(self, key: str) -> bool:
        """Whether an entry is there and has not been taken."""
        return key in self._left

    def done(self) -> None:
        """Refuse entries that nobody has taken: they may mean something to another version."""
        if self._left:
            raise ArtifactError(f"{self.where}: unknown key {min(self._left)[:80]!r}")

    def _wrong(self, key: str, expected: str, value: object) -> ArtifactError:
        return ArtifactError(f"{self.where}: {key} must be {expected}, found {str(value)[:80]!r}")
