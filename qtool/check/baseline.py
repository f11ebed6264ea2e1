"""The committed file of results that later ones are compared with."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from passes.errors import ConfigError
from qtool.check.facts import Facts
from qtool.files import write_json

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

SCHEMA_VERSION = 1
MAX_FILE_BYTES = 50_000_000


@dataclass(frozen=True, slots=True)
class Known:
    """What a baseline says about one model.

    Attributes:
        facts: its figures.
        inputs: what it was made from, as `qtool.check.key.inputs_of` names it.
        files: names and digests of the files that these inputs make.
    """

    facts: Facts
    inputs: Mapping[str, str]
    files: Mapping[str, str]


def read_baseline(file: Path) -> dict[str, Known]:
    """Read a baseline; there is none before the first ``--update-baseline``.

    Returns:
        What is known, by name of the model.

    Raises:
        ConfigError: the file is damaged or of another version.
        OSError: it cannot be read.
    """
    if not file.is_file():
        return {}
    if file.stat().st_size > MAX_FILE_BYTES:
        raise ConfigError(f"{file}: expected a baseline of at most {MAX_FILE_BYTES} bytes, found more")
    try:
        document = json.loads(file.read_text(encoding="utf-8"))
        version = document["schema_version"]
        if version != SCHEMA_VERSION:
            raise ConfigError(
                f"{file}: expected a baseline of version {SCHEMA_VERSION}, found {version!r:.40}"
            )
        return {name: _known(entry) for name, entry in document["models"].items()}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ConfigError(
            f"{file}: expected a baseline of `qtool check`, found {error!r:.120}; "
            "restore the committed file, or delete it and write it again with --update-baseline"
        ) from error


def write_baseline(file: Path, known: Mapping[str, Known]) -> None:
    """Write a baseline, wholly or not at all; equal results give equal bytes."""
    models = {name: _entry(known[name]) for name in sorted(known)}
    write_json({"schema_version": SCHEMA_VERSION, "models": models}, file)


def _known(entry: Mapping[str, Any]) -> Known:
    inputs, files = dict(entry["inputs"]), dict(entry["files"])
    if not all(isinstance(text, str) for text in (*inputs.values(), *files.values())):
        raise ValueError("expected texts under inputs and files")
    return Known(Facts.from_json(entry), inputs, files)


def _entry(known: Known) -> dict[str, Any]:
    return known.facts.to_json() | {"files": dict(known.files), "inputs": dict(known.inputs)}
