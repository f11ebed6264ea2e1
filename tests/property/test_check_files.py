"""Whatever stands in a qtool.toml or in a baseline, it is read or refused in words."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import fields
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from passes.errors import ConfigError, UsageError
from qtool.check.baseline import read_baseline
from qtool.check.config import Options, read_config
from qtool.check.tolerances import NAMES

KEYS = [*(field.name for field in fields(Options)), *NAMES, "model", "tolerances", "baseline", "out"]
NUMBERS = st.booleans() | st.integers(-(2**40), 2**40) | st.floats()
SCALARS = NUMBERS | st.text(max_size=12) | st.sampled_from(["1%", "2ms"])
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=4),
    max_leaves=6,
)
TABLES = st.dictionaries(st.sampled_from(KEYS), VALUES, max_size=6)
MODELS = st.dictionaries(st.sampled_from(["a", "b.c", "../d", ""]), TABLES | VALUES, max_size=2)
DOCUMENTS = st.fixed_dictionaries(
    {},
    optional={
        "models": MODELS | VALUES,
        "defaults": TABLES | VALUES,
        "tolerances": TABLES | VALUES,
        "baseline": VALUES,
        "other": VALUES,
    },
)
FACTS = st.dictionaries(
    st.sampled_from(["metric", "values", "cost", "cost_8bit", "coverage", "layers"]), VALUES
)


def toml(value: Any) -> str:
    """Write a value as TOML, tables inline."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(key)} = {toml(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(toml(item) for item in value) + "]"
    if isinstance(value, float):
        return str(value)
    # An escape of JSON for half of a pair is none in TOML; such a text is refused as no TOML.
    return json.dumps(value)


@settings(max_examples=80)
@given(DOCUMENTS)
def test_a_config_is_read_or_refused(document: dict[str, Any]) -> None:
    text = "\n".join(f"{key} = {toml(value)}" for key, value in document.items())
    with TemporaryDirectory() as folder:
        file = Path(folder) / "qtool.toml"
        file.write_text(text, encoding="utf-8")
        with suppress(ConfigError, UsageError):
            config = read_config(file)
            assert all(model.options.target and model.name for model in config.models)


@settings(max_examples=60)
@given(st.binary(max_size=60))
def test_bytes_are_read_or_refused(data: bytes) -> None:
    with TemporaryDirectory() as folder:
        for name, read in (("qtool.toml", read_config), ("baseline.json", read_baseline)):
            file = Path(folder) / name
            file.write_bytes(data)
            with suppress(ConfigError, UsageError):
                read(file)


@settings(max_examples=60)
@given(FACTS, VALUES)
def test_a_baseline_is_read_or_refused(facts: dict[str, Any], files: Any) -> None:
    whole = {"metric": "top1", "values": {}, "cost": {}, "cost_8bit": {}, "coverage": 1.0, "layers": {}}
    entry = whole | {"agreement": None, "lsb": None, "inputs": {}, "files": files} | facts
    with TemporaryDirectory() as folder:
        file = Path(folder) / "baseline.json"
        file.write_text(json.dumps({"schema_version": 1, "models": {"net": entry}}), encoding="utf-8")
        with suppress(ConfigError):
            known = read_baseline(file)["net"]
            assert isinstance(known.facts.coverage, int | float)
            assert all(isinstance(bits, str) for bits in known.facts.layers.values())
