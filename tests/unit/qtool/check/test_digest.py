"""Digests change with content, and with nothing else."""

from __future__ import annotations

import hashlib
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from passes.errors import DataError, ModelError
from qtool.check.cache import Cache
from qtool.check.config import ModelConfig, Options
from qtool.check.digest import code_digest, data_digest, file_digest, target_digest
from qtool.check.key import inputs_of, key_of, surroundings
from qtool.check.tolerances import Tolerances


def test_a_file_has_the_digest_of_its_bytes(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    assert (
        file_digest(tmp_path / "a") == hashlib.sha256(b"abc").hexdigest() == data_digest(str(tmp_path / "a"))
    )


def test_a_folder_counts_names_and_contents(tmp_path: Path) -> None:
    (tmp_path / "d" / "e").mkdir(parents=True)
    (tmp_path / "d" / "e" / "one").write_bytes(b"1")
    first = data_digest(str(tmp_path / "d"))
    os.utime(tmp_path / "d" / "e" / "one", (1, 1))
    (tmp_path / "d").rename(tmp_path / "moved")
    assert data_digest(str(tmp_path / "moved")) == first
    (tmp_path / "moved" / "e" / "one").rename(tmp_path / "moved" / "e" / "two")
    assert data_digest(str(tmp_path / "moved")) != first


def test_a_function_counts_its_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "samples_of_mine.py").write_text("def f(): yield {}\n", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    assert data_digest("samples_of_mine:f") == file_digest(tmp_path / "samples_of_mine.py")
    for absent in ("absent_module:f", "absent.npz", "absent.module.of:f", ".:f"):
        with pytest.raises(DataError):
            data_digest(absent)


def test_a_machine_file_counts_the_tables_that_it_names(tmp_path: Path) -> None:
    (tmp_path / "board.toml").write_text('[lookup]\ntable = "times.csv"\nlist = ["x"]\n', encoding="utf-8")
    target = str(tmp_path / "board.toml")
    without = target_digest(target)
    (tmp_path / "times.csv").write_text("a", encoding="utf-8")
    one = target_digest(target)
    (tmp_path / "times.csv").write_text("b", encoding="utf-8")
    assert len({without, one, target_digest(target), target_digest("bitfusion")}) == 4
    (tmp_path / "board.toml").write_text("not = = toml", encoding="utf-8")
    assert target_digest(target)


def test_the_tool_has_a_digest() -> None:
    assert code_digest() == code_digest() == surroundings()["qtool"]


@pytest.fixture
def model(tmp_path: Path) -> ModelConfig:
    """A model with weights in a file of their own."""
    weight = numpy_helper.from_array(np.ones((2, 2), np.float32), "w")
    node = helper.make_node("MatMul", ["x", "w"], ["y"])
    sides = [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["N", 2]) for name in "xy"]
    proto = helper.make_model(helper.make_graph([node], "net", sides[:1], sides[1:], [weight]))
    onnx.save(proto, tmp_path / "net.onnx", save_as_external_data=True, location="net.data", size_threshold=0)
    (tmp_path / "calib.npz").write_bytes(b"samples")
    options = Options(target="generic", calib=str(tmp_path / "calib.npz"), bits="8")
    return ModelConfig("net", 1, tmp_path / "net.onnx", options, Tolerances())


def test_the_key_hangs_on_everything_but_places_and_tolerances(model: ModelConfig, tmp_path: Path) -> None:
    cache = Cache(tmp_path / "cache")

    def key(of: ModelConfig, **around: str) -> str:
        return key_of(inputs_of(of, {"qtool": "1"} | around, cache.external))

    first = key(model)
    assert key(replace(model, name="other", line=9, tolerances=Tolerances(size="off"))) == first
    keys = {first, key(model, qtool="2"), key(replace(model, options=replace(model.options, bits="4")))}
    for name in ("calib.npz", "net.data"):
        (tmp_path / name).write_bytes(b"x" * 16)
        keys.add(key(model))
    assert len(keys) == 5


def test_external_data_are_named_once_per_model(model: ModelConfig, tmp_path: Path) -> None:
    cache, digest = Cache(tmp_path / "cache"), file_digest(model.path)
    assert cache.external(model.path, digest) == ("net.data",)
    known = tmp_path / "cache" / "external" / f"{digest}.json"
    for damage in ("[", '{"a": 1}', "[1]"):
        known.write_text(damage, encoding="utf-8")
        assert cache.external(model.path, digest) == ("net.data",)
    known.write_text('["absent.data"]', encoding="utf-8")
    assert cache.external(model.path, digest) == ()


def test_what_is_not_there_is_refused(model: ModelConfig, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"expected an \.onnx file, found none"):
        inputs_of(replace(model, path=tmp_path / "gone.onnx"), {}, Cache(tmp_path).external)
