"""The committed file: equal results give equal bytes, and what is damaged is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from passes.errors import ConfigError
from qtool.check.baseline import Known, read_baseline, write_baseline
from qtool.check.trial import Trial


@pytest.fixture
def known(trial_of: Callable[..., Trial]) -> Known:
    return Known(trial_of().now, {"model": "1"}, {"model.qpk": "aa"})


def test_it_is_read_as_it_was_written(known: Known, tmp_path: Path) -> None:
    file, other = tmp_path / "a.json", replace(known, inputs={"model": "2"})
    write_baseline(file, {"b": known, "a": other})
    assert read_baseline(file) == {"a": other, "b": known}
    first = file.read_bytes()
    write_baseline(file, {"a": other, "b": known})
    assert file.read_bytes() == first


def test_there_is_none_at_first(tmp_path: Path) -> None:
    assert read_baseline(tmp_path / "none.json") == {}


OTHER_VERSION = '{"schema_version": 2, "models": {}}'


@pytest.mark.parametrize("text", ["", "[]", "{}", OTHER_VERSION, "[" * 100_000, "nul"])
def test_what_is_no_baseline_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.json").write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match="expected a baseline of"):
        read_baseline(tmp_path / "a.json")


@pytest.mark.parametrize(
    "values",
    [
        {"inputs": None},
        {"files": {"model.qpk": 3}},
        {"cost": {"latency_s": "fast"}},
        {"cost": {"latency_s": True}},
        {"values": [0.5]},
        {"coverage": None},
        {"coverage": float("nan")},
        {"layers": {"conv": 8}},
        {"metric": 1},
    ],
)
def test_what_lies_is_refused(known: Known, tmp_path: Path, values: dict[str, Any]) -> None:
    file = tmp_path / "a.json"
    write_baseline(file, {"net": known})
    document = json.loads(file.read_text(encoding="utf-8"))
    document["models"]["net"] |= values
    file.write_text(json.dumps(document), encoding="utf-8")
    with pytest.raises(ConfigError, match="restore the committed file"):
        read_baseline(file)
