"""Reading qtool.toml: what it may say, and what is refused with the place and a hint."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from passes.errors import ConfigError, UsageError
from qtool.check.config import read_config

TEXT = """
baseline = "ci/known.json"

[defaults]
target = "bitfusion"
samples = 10

[tolerances]
size = "2%"
plan = "any"

[models.a]
model = "nets/a.onnx"
calib = "a.npz"
eval = "package.data:held_out"

# the second
[ models . "b" ]
model = "/nets/b.onnx"
target = "board.toml"
samples = 20
pin = ["op:Conv=w8a8"]

[models.b.tolerances]
size = "1MB"
"""


def written(folder: Path, text: str) -> Path:
    (folder / "qtool.toml").write_text(text, encoding="utf-8")
    return folder / "qtool.toml"


def test_models_stand_over_the_defaults(tmp_path: Path) -> None:
    config = read_config(written(tmp_path, TEXT))
    first, second = config.models
    assert (config.baseline, config.out) == (tmp_path / "ci/known.json", tmp_path / "qtool-out")
    assert (first.name, first.line, first.path) == ("a", 12, tmp_path / "nets/a.onnx")
    assert first.options.calib == str(tmp_path / "a.npz")
    assert first.options.eval == "package.data:held_out"
    assert (first.options.target, first.options.samples) == ("bitfusion", 10)
    assert (second.line, second.path) == (18, Path("/nets/b.onnx"))
    assert second.options.target == str(tmp_path / "board.toml")
    assert (second.options.samples, second.options.pin) == (20, ("op:Conv=w8a8",))
    assert [it.tolerances.size for it in config.models] == ["2%", "1MB"]
    assert [it.tolerances.plan for it in config.models] == ["any", "any"]


def test_a_file_with_a_colon_in_its_name_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "package.data:held_out").touch()
    config = read_config(written(tmp_path, TEXT))
    assert config.models[0].options.eval == str(tmp_path / "package.data:held_out")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("models = 3", r"\[models\]: expected a table, found 3"),
        ("base = 'x'\n[models.a]", r"top of the file\] base: .* did you mean baseline\?"),
        ("[models.a]\nmodel = 3", r"\[models.a\] model: expected the path of an .onnx file, found 3"),
        ("[models.a]\nmodel = ' '", r"\[models.a\] model: expected the path"),
        ("[models.a]\nmodel = 'x'", r"\[models.a\] target: expected a machine"),
        ("[models.'../a']\nmodel = 'x'", r"a name has letters, digits"),
        ("[models]\na = 1", r"\[models.a\]: expected a table, found 1"),
        ("[defaults]\nmax_laten = '1ms'\n[models.a]", r"max_laten: .* did you mean max_latency\?"),
        (
            "[defaults]\nsamples = '1'\n[models.a]",
            r"samples: expected a whole number, found",
        ),
        ("[defaults]\nmodel = 'x'\n[models.a]", r"\[defaults\] model: .* unknown key"),
        (
            "[models.a]\nmodel='x'\ntarget='generic'\n[models.a.tolerances]\nsizes='1%'",
            r"\[models.a.tolerances\] sizes: .* did you mean size\?",
        ),
        ("[models.a]\nmodel='x'\nmodel='y'", "expected TOML with every key once"),
        ('out = "a\\u0000b"', "a text holds the character NUL"),
        ("x = " + "[" * 100_000, "expected TOML with every key once"),
        ("#" * 1_000_001, "expected at most 1000000 bytes"),
    ],
)
def test_what_is_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        read_config(written(tmp_path, text))


def test_a_tolerance_says_where_it_is(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"qtool.toml: \[models.b.tolerances\]: tolerance .*max-size"):
        read_config(written(tmp_path, TEXT.replace('"1MB"', '"1ms"')))


def test_a_file_that_is_none(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "absent.toml", tmp_path / "pipe", tmp_path / "a\0b"):
        with pytest.raises(ConfigError):
            read_config(path)
    (tmp_path / "latin.toml").write_bytes(b"# \xe9")
    with pytest.raises(ConfigError, match="expected UTF-8"):
        read_config(tmp_path / "latin.toml")
