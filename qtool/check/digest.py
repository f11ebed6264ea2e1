"""Digests of what a result depends on: files, folders, Python functions, the code of the tool itself."""

from __future__ import annotations

import hashlib
import tomllib
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from passes.errors import DataError, ModelError

if TYPE_CHECKING:
    from collections.abc import Iterable

CODE = frozenset({".py", ".toml", ".so", ".pyd", ".csv"})
"""Endings of the files that decide what the tool does."""
PACKAGES = ("hwmodels", "passes", "qtool")


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal; it is read in pieces.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def text_digest(text: str) -> str:
    """Return the SHA-256 of a text in hexadecimal."""
    return hashlib.sha256(text.encode()).hexdigest()


def files_digest(folder: Path, files: Iterable[Path]) -> str:
    """Return one digest of the names, relative to a folder, and the contents of files."""
    lines = [f"{file.relative_to(folder).as_posix()} {file_digest(file)}" for file in sorted(files)]
    return text_digest("\n".join(lines))


def data_digest(location: str) -> str:
    """Return the digest of samples.

    Of ``module:function`` it is that of the module's own file: what that imports does not count.

    Args:
        location: a file, a folder, or ``module:function``.

    Raises:
        DataError: nothing is there.
    """
    path = Path(location)
    if path.is_dir():
        return files_digest(path, (file for file in path.rglob("*") if file.is_file()))
    if path.is_file():
        return file_digest(path)
    return _module_digest(location)


def model_digest(path: Path) -> str:
    """Return the digest of an .onnx file, without data that lie beside it.

    Raises:
        ModelError: there is no such file.
    """
    if not path.is_file():
        raise ModelError(f"{path}: expected an .onnx file, found none; correct the path under [models]")
    return file_digest(path)


def target_digest(target: str) -> str:
    """Return the digest of a machine file and the tables that it names; built-in machines are code."""
    path = Path(target)
    if not target.endswith(".toml") or not path.is_file():
        return text_digest(target)
    try:
        texts = texts_of(tomllib.loads(path.read_text(encoding="utf-8")))
    except (ValueError, RecursionError):
        # Whoever loads the machine says what is wrong with its file.
        texts = ()
    beside = {path.parent / text for text in texts if 0 < len(text) < 200 and "\0" not in text}
    tables = [file_digest(file) for file in sorted(beside) if file.is_file()]
    return text_digest(file_digest(path) + "".join(tables))


def code_digest() -> str:
    """Return the digest of the tool as it is installed, edited or not."""
    root = Path(__file__).parents[2]
    sources = (file for package in PACKAGES for file in (root / package).rglob("*") if file.suffix in CODE)
    return files_digest(root, sources)


def _module_digest(location: str) -> str:
    module = location.partition(":")[0]
    try:
        spec = find_spec(module) if ":" in location else None
    except (ImportError, ValueError) as error:
        raise DataError(f"{location}: {module} cannot be found: {error}") from error
    if spec is None or spec.origin is None:
        raise DataError(f"{location}: no such data file or folder, and no module:function either")
    return file_digest(Path(spec.origin))


def texts_of(value: object) -> Iterable[str]:
    """Yield every text in a document of TOML or JSON."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from texts_of(item)
