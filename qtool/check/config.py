"""qtool.toml: the models of a repository, what they may cost, and how far they may move."""

from __future__ import annotations

import re
import tomllib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from hwmodels.errors import SpecError
from hwmodels.fields import fill, shown
from passes.errors import ConfigError, UsageError
from qtool.check.digest import texts_of
from qtool.check.tolerances import Tolerances

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_FILE_BYTES = 1_000_000
MODELS, DEFAULTS, TOLERANCES = "models", "defaults", "tolerances"
Table = TypeVar("Table")

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}")
_FUNCTION = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")
_HEADER = re.compile(r"""\s*\[\s*models\s*\.\s*["']?([^"'\]]+?)["']?\s*\]""")


@dataclass(frozen=True, slots=True)
class Options:
    """What a model is compiled with: the options of ``qtool quantize``, by the same names.

    Values are those of the command line; an option that is left out has the command's default.
    """

    target: str = ""
    calib: str = ""
    eval: str = ""
    preprocess: str = ""
    samples: int = 0
    metric: str = ""
    label_offset: int = 0
    max_latency: str = ""
    max_energy: str = ""
    max_size: str = ""
    max_bops: str = ""
    max_drop: str = ""
    minimize: str = ""
    bits: str = ""
    pin: tuple[str, ...] = ()
    group_size: int = 0
    solver: str = ""
    time_limit: float = 0.0
    to: str = ""
    ranges: str = ""
    sensitivity: str = ""
    pipeline: str = ""
    seed: int = 0
    runtime: str = ""
    """Release of ONNX Runtime that the result is linted for; the installed one if left out."""


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """One model of the file.

    Attributes:
        name: its table, ``[models.NAME]``.
        line: where that table begins, counted from 1.
        path: the .onnx file.
        options: what it is compiled with; paths in it are resolved.
        tolerances: how far it may move.
    """

    name: str
    line: int
    path: Path
    options: Options
    tolerances: Tolerances


@dataclass(frozen=True, slots=True)
class CheckConfig:
    """A whole file.

    Attributes:
        file: where it is.
        baseline: the committed file of results.
        out: folder for reports, compiled models and the cache.
        models: in the order of the file.
    """

    file: Path
    baseline: Path
    out: Path
    models: tuple[ModelConfig, ...]


@dataclass(frozen=True, slots=True)
class _Top:
    baseline: str = "qtool-baseline.json"
    out: str = "qtool-out"


def read_config(file: Path) -> CheckConfig:
    """Read a qtool.toml; paths in it are relative to its folder.

    Args:
        file: a TOML file of at most `MAX_FILE_BYTES`.

    Raises:
        ConfigError: the file cannot be read, is not TOML, or has a key or a value that it must not have.
        UsageError: a tolerance that cannot be read.
    """
    text = _read(file)
    document = _parse(file, text)
    if any("\0" in value for value in texts_of(document)):
        raise ConfigError(f"{file}: a text holds the character NUL, which no path can; remove it")
    lines = _headers(text)
    tables = {name: _table(file, name, document.pop(name, {})) for name in (MODELS, DEFAULTS, TOLERANCES)}
    top = _fill(file, "top of the file", document, _Top)
    if not tables[MODELS]:
        raise ConfigError(f"{file}: expected a table [models.NAME] with the key model, found none")
    _fill(file, DEFAULTS, tables[DEFAULTS], Options)
    models = [_model(file, name, entry, tables, lines.get(name, 1)) for name, entry in tables[MODELS].items()]
    return CheckConfig(file, file.parent / top.baseline, file.parent / top.out, tuple(models))


def _headers(text: str) -> dict[str, int]:
    """Return the lines, counted from 1, at which the tables of models begin."""
    found = ((_HEADER.match(line), number) for number, line in enumerate(text.splitlines(), 1))
    return {match[1]: number for match, number in found if match}


def _model(
    file: Path, name: str, entry: object, tables: Mapping[str, dict[str, object]], line: int
) -> ModelConfig:
    """Build one model from its own table over those that hold for all."""
    where = f"{MODELS}.{name[:100]}"
    if not _NAME.fullmatch(name):
        raise ConfigError(
            f"{file}: [{where}]: a name has letters, digits, dots, - and _ only; rename the table"
        )
    own = _table(file, where, entry)
    limits = tables[TOLERANCES] | _table(file, f"{where}.{TOLERANCES}", own.pop(TOLERANCES, {}))
    model = own.pop("model", None)
    if not isinstance(model, str) or not model.strip():
        raise ConfigError(
            f"{file}: [{where}] model: expected the path of an .onnx file, found {shown(model)}"
        )
    options = _fill(file, where, tables[DEFAULTS] | own, Options)
    if not options.target:
        raise ConfigError(f"{file}: [{where}] target: expected a machine of `qtool targets list`, found none")
    tolerances = _fill(file, f"{where}.{TOLERANCES}", limits, Tolerances)
    return ModelConfig(name, line, file.parent / model, _resolved(options, file.parent), tolerances)


def _resolved(options: Options, folder: Path) -> Options:
    """Resolve what may be a path: data that are no Python function, and machine files."""
    values = asdict(options)
    for key in ("calib", "eval"):
        if values[key] and not (_FUNCTION.fullmatch(values[key]) and not (folder / values[key]).exists()):
            values[key] = str(folder / values[key])
    if options.target.endswith(".toml"):
        values["target"] = str(folder / options.target)
    return Options(**values)


def _read(file: Path) -> str:
    try:
        # A pipe or a device would block or never end.
        if not file.is_file():
            raise ConfigError(f"{file}: expected a TOML file that lists models, found none; see docs/ci.md")
        with file.open("rb") as stream:
            data = stream.read(MAX_FILE_BYTES + 1)
    except (OSError, ValueError) as error:
        raise ConfigError(f"{str(file)[:200]}: cannot be read: {error}") from error
    if len(data) > MAX_FILE_BYTES:
        raise ConfigError(f"{file}: expected at most {MAX_FILE_BYTES} bytes, found more")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{file}: expected UTF-8: {error}") from error


def _parse(file: Path, text: str) -> dict[str, object]:
    """Parse TOML; RecursionError is what thousands of nested brackets end in."""
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{file}: expected TOML with every key once: {str(error)[:200]}") from error


def _table(file: Path, name: str, value: object) -> dict[str, object]:
    if not isinstance(value, dict):
        raise ConfigError(f"{file}: [{name}]: expected a table, found {shown(value)}")
    return dict(value)


def _fill(file: Path, name: str, table: Mapping[str, object], kind: type[Table]) -> Table:
    """Read a table into its dataclass."""
    try:
        return fill(str(file), name, table, kind)
    except SpecError as error:
        raise ConfigError(str(error)) from error
    except UsageError as error:
        raise UsageError(f"{file}: [{name}]: {error}") from error
