"""``qtool check``: compiles what is out of date, and holds every model against its baseline."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic
from typing import TYPE_CHECKING

from hwmodels.errors import HardwareError
from passes.errors import QtoolError
from qtool.check.baseline import Known, read_baseline, write_baseline
from qtool.check.cache import ENTRY, Cache, Entry
from qtool.check.facts import Facts
from qtool.check.judge import judge, rebuild_case
from qtool.check.key import inputs_of, key_of, surroundings
from qtool.check.trial import Trial
from qtool.check.verdict import CheckRun, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from qtool.check.config import CheckConfig, ModelConfig

    Tell = Callable[[str, int, int], None]

BUG, UNUSABLE = 1, 3


@dataclass(frozen=True, slots=True)
class _Session:
    """What is the same for all models of a run."""

    cache: Cache
    baseline: Mapping[str, Known]
    around: Mapping[str, str]
    folder: Path
    rebuild: bool
    update: bool


@dataclass(frozen=True, slots=True)
class _Result:
    """A compiled model: its key, whether it was there already, and the digests of a second compilation."""

    entry: Entry
    key: str
    cached: bool
    again: Mapping[str, str] | None

    @property
    def known(self) -> Known:
        """Return what a baseline would say about it."""
        return Known(Facts.of_report(self.entry.report), self.entry.inputs, self.entry.files)


def run_check(config: CheckConfig, tell: Tell, *, rebuild: bool = False, update: bool = False) -> CheckRun:
    """Check every model of a file; one that cannot be compiled does not stop the others.

    Compiled models are left in ``out/models/NAME``.

    Args:
        config: the file.
        tell: called with (stage, steps done, steps in all) as work proceeds.
        rebuild: compile every model once more, and compare byte for byte.
        update: make what was found the baseline; limits that are not relative to it still hold.

    Raises:
        ConfigError: the baseline is damaged.
        OSError: a folder cannot be written.
    """
    baseline, cache = read_baseline(config.baseline), Cache(config.out / "cache")
    session = _Session(cache, baseline, surroundings(), config.out / "models", rebuild, update)
    found = [(model.name, *_check(model, session, tell)) for model in config.models]
    results = {name: result for name, _, result in found if result is not None}
    if update:
        # A model that could not be compiled keeps what was known of it.
        kept = {model.name: baseline[model.name] for model in config.models if model.name in baseline}
        write_baseline(config.baseline, kept | {name: result.known for name, result in results.items()})
    cache.prune({result.key for result in results.values()})
    return CheckRun(config.file, tuple(verdict for _, verdict, _ in found))


def _check(model: ModelConfig, session: _Session, tell: Tell) -> tuple[Verdict, _Result | None]:
    start = monotonic()
    try:
        result = _compiled(model, session, tell)
        folder = _publish(result.entry, session.folder / model.name)
    except (QtoolError, HardwareError, OSError) as error:
        if _code(error) == BUG:
            raise
        seconds = monotonic() - start
        return Verdict(model=model, error=_message(error), code=_code(error), seconds=seconds), None
    known = result.known if session.update else session.baseline.get(model.name)
    verdict = _verdict(model, result, known)
    return replace(verdict, seconds=monotonic() - start, folder=folder), result


def _compiled(model: ModelConfig, session: _Session, tell: Tell) -> _Result:
    """Take a result out of the cache, or make it."""
    inputs = inputs_of(model, session.around, session.cache.external)
    key = key_of(inputs)
    stored = session.cache.get(key)
    entry = stored or _build(model, key, inputs, session.cache, tell)
    return _Result(entry, key, stored is not None, _rebuilt(model, tell) if session.rebuild else None)


def _verdict(model: ModelConfig, result: _Result, known: Known | None) -> Verdict:
    now, then = result.known.facts, None if known is None else known.facts
    cases = judge(Trial(model.tolerances, result.entry, now, then))
    again = () if result.again is None else (rebuild_case(result.entry, known, result.again),)
    return Verdict(
        model=model,
        cases=(*cases, *again),
        facts=now,
        known=then,
        changed=() if known is None else _changed(known.inputs, result.entry.inputs),
        cached=result.cached,
    )


def _build(model: ModelConfig, key: str, inputs: Mapping[str, str], cache: Cache, tell: Tell) -> Entry:
    from qtool.check.build import build_entry

    def staged(stage: str, done: int, total: int) -> None:
        tell(f"{model.name}: {stage}", done, total)

    return cache.put(key, lambda folder: build_entry(model, inputs, folder, staged))


def _rebuilt(model: ModelConfig, tell: Tell) -> dict[str, str]:
    from qtool.check.build import rebuilt_files

    tell(f"{model.name}: rebuild", 0, 0)
    with TemporaryDirectory(prefix="qtool-rebuild-") as scratch:
        return rebuilt_files(model, Path(scratch) / "out")


def _publish(entry: Entry, folder: Path) -> Path:
    """Copy a compiled model to where users look for it; what was there is replaced as a whole."""
    staging = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
    try:
        shutil.copytree(entry.folder, staging, ignore=shutil.ignore_patterns(ENTRY))
        shutil.rmtree(folder, ignore_errors=True)
        staging.replace(folder)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return folder


def _changed(before: Mapping[str, str], now: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(name for name in dict.fromkeys((*before, *now)) if before.get(name) != now.get(name))


def _code(error: Exception) -> int:
    return error.exit_code if isinstance(error, QtoolError | HardwareError) else UNUSABLE


def _message(error: Exception) -> str:
    notes = "".join(f" ({note})" for note in getattr(error, "__notes__", ()))
    if isinstance(error, OSError):
        return f"{error.filename or 'a file'} cannot be read or written: {error.strerror or error}"
    return f"{error}{notes}"
