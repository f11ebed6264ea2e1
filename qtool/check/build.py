"""Compiles one model of a qtool.toml into a folder, measures it, and lints what came out."""

from __future__ import annotations

import json
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING

from passes.errors import AccuracyError
from passes.lint.runtime import parse_runtime
from qtool.check.cache import Entry
from qtool.check.digest import file_digest
from qtool.keywords import quantize_request
from qtool.lint import lint_model
from qtool.quantization import run_quantize

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from qtool.check.config import ModelConfig
    from qtool.request import QuantizeRequest

LINTED = ("model.qdq.onnx", "model.qcdq.onnx", "model.nbits.onnx")
"""Forms that ONNX Runtime runs."""
REPORTS = "report."
"""Beginning of the names of files that tell times, and so differ from run to run."""


def request_of(model: ModelConfig, folder: Path) -> QuantizeRequest:
    """Return the request for a model.

    Raises:
        UsageError: an option is unknown, cannot be read, or contradicts another.
        HardwareError: the target is unknown or its file is damaged.
    """
    options = {name: value for name, value in asdict(model.options).items() if value}
    runtime, target = options.pop("runtime", None), options.pop("target")
    if runtime is not None:
        parse_runtime(runtime)
    # Nothing is compared of how well sensitivities rank plans; measuring it takes the most time.
    return quantize_request(model.path, target, folder, {"quality_plans": 0, **options})


def build_entry(
    model: ModelConfig, inputs: Mapping[str, str], folder: Path, tell: Callable[[str, int, int], None]
) -> Entry:
    """Compile a model into a folder that does not exist yet.

    Raises:
        QtoolError: as `run_quantize` does, save for a drop that is not met, which the entry tells.
    """
    missed = ""
    try:
        run_quantize(request_of(model, folder), tell)
    except AccuracyError as error:
        missed = str(error).removesuffix(f"; files are written to {folder}")
    files = sorted(file for file in folder.iterdir() if file.is_file())
    return Entry(
        folder,
        inputs,
        files={file.name: file_digest(file) for file in files if not file.name.startswith(REPORTS)},
        report=json.loads((folder / "report.json").read_text(encoding="utf-8")),
        findings=_lint(model, [folder / name for name in LINTED]),
        missed=missed,
    )


def rebuilt_files(model: ModelConfig, folder: Path) -> dict[str, str]:
    """Compile a model once more, in a process of its own, and return the digests of its files.

    A new process has another seed of Python's hashes, so that an order that hangs on them shows.

    Raises:
        QtoolError: as `build_entry` does.
    """
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        return pool.submit(_digests, model, folder).result()


def _digests(model: ModelConfig, folder: Path) -> dict[str, str]:
    return dict(build_entry(model, {}, folder, lambda _stage, _done, _total: None).files)


def _lint(model: ModelConfig, files: list[Path]) -> tuple[dict[str, str], ...]:
    """Lint those of the files that there are; a finding names its file."""
    findings = []
    for file in filter(Path.is_file, files):
        document = lint_model(file, model.options.runtime or None)
        findings += [{**finding, "file": file.name} for finding in document["findings"]]
    return tuple(findings)
