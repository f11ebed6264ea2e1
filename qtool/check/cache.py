"""`Cache`: compiled models by the digest of everything that they depend on, in a folder."""

from __future__ import annotations

import json
import os
import shutil
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from qtool.check.digest import file_digest, text_digest
from qtool.files import write_text

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping
    from pathlib import Path

SCHEMA_VERSION = 1
ENTRY = "entry.json"
KEPT = 20
"""Results that stay besides those of the last run."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One compiled model.

    Attributes:
        folder: where its files are.
        inputs: what it was made from, as `qtool.check.key.inputs_of` names it.
        files: names and digests of the files that the same inputs make byte for byte again.
        report: what report.json says.
        findings: what ``qtool lint`` says about the Q/DQ models, as in its JSON.
        missed: why ``max_drop`` was not met; empty when it was, or was not asked for.
    """

    folder: Path
    inputs: Mapping[str, str]
    files: Mapping[str, str]
    report: Mapping[str, Any]
    findings: tuple[Mapping[str, str], ...]
    missed: str = ""

    def save(self) -> None:
        """Write the file that makes a folder an entry; the last thing that is written into it."""
        entry = asdict(self)
        del entry["folder"]
        document = {"schema_version": SCHEMA_VERSION, "sha256": _digest(entry), "entry": entry}
        write_text(json.dumps(document, indent=1, sort_keys=True) + "\n", self.folder / ENTRY)


class Cache:
    """Entries by key; whatever is damaged counts as absent."""

    def __init__(self, root: Path) -> None:
        """Name the folder; it is made when something is stored."""
        self._root = root

    def get(self, key: str) -> Entry | None:
        """Return an entry whose files are what they were when it was stored."""
        folder = self._root / key
        try:
            entry = _load(folder)
            whole = all(file_digest(folder / name) == digest for name, digest in entry.files.items())
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return None
        if not whole:
            return None
        # When it was last used, for `prune`; a cache that cannot be written serves all the same.
        with suppress(OSError):
            os.utime(folder / ENTRY)
        return entry

    def put(self, key: str, build: Callable[[Path], Entry]) -> Entry:
        """Make an entry in a temporary folder that takes its place when it is whole.

        Args:
            key: of the entry.
            build: fills a folder that does not exist yet and returns the entry in it.

        Raises:
            OSError: the folder cannot be written.
            Exception: whatever `build` raises; nothing is kept then.
        """
        self._root.mkdir(parents=True, exist_ok=True)
        folder, staging = self._root / key, self._root / f".{key[:16]}.{os.getpid()}.tmp"
        try:
            build(staging).save()
            shutil.rmtree(folder, ignore_errors=True)
            staging.replace(folder)
        finally:
            shutil.rmtree(staging, ignore_errors=True)
        return _load(folder)

    def prune(self, used: Collection[str]) -> None:
        """Remove the entries that were not used for longest, but for `KEPT` and those named."""
        entries = [file for file in self._root.glob(f"*/{ENTRY}") if file.parent.name not in used]
        for file in sorted(entries, key=lambda file: file.stat().st_mtime, reverse=True)[KEPT:]:
            shutil.rmtree(file.parent, ignore_errors=True)

    def external(self, model: Path, digest: str) -> tuple[str, ...]:
        """Return the files beside a model that hold its data; a model that is known is not opened for it.

        Args:
            model: the .onnx file.
            digest: of its bytes, on which alone the names depend.

        Raises:
            ModelError: it is no model.
        """
        known = self._root / "external" / f"{digest}.json"
        try:
            names = json.loads(known.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            names = None
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            from qtool.check.external import external_files

            names = external_files(model)
            write_text(json.dumps(names), known)
        folder = model.parent
        return tuple(name for name in names if (folder / name).is_file())


def _load(folder: Path) -> Entry:
    """Read an entry.

    Raises:
        OSError: there is none.
        ValueError: it is damaged or of another version; so do KeyError, TypeError and AttributeError say.
    """
    document = json.loads((folder / ENTRY).read_text(encoding="utf-8"))
    if document["schema_version"] != SCHEMA_VERSION or document["sha256"] != _digest(document["entry"]):
        raise ValueError("another version, or changed since it was written")
    entry = Entry(folder, **document["entry"])
    if any(name != PurePath(name).name for name in entry.files):
        raise ValueError("a file outside the folder")
    return replace(entry, findings=tuple(entry.findings))


def _digest(entry: Mapping[str, Any]) -> str:
    return text_digest(json.dumps(entry, sort_keys=True))
