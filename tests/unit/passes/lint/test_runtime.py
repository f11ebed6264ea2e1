"""Releases and levels, as users write them."""

from __future__ import annotations

import pytest

from passes.errors import UsageError
from passes.lint.runtime import Runtime, parse_runtime


@pytest.mark.parametrize("text", ["onnxruntime==1.31.1", "1.31.1", "1.31", "onnxruntime 1.31", " 1.31.0rc1 "])
def test_spellings_of_a_release(text: str) -> None:
    assert parse_runtime(text) == Runtime((1, 31), basic=False)


@pytest.mark.parametrize(
    "text", ["", "latest", "onnxruntime", "onnxruntime>=1.31", "1", "tflite==1.31", "1.31.1 x"]
)
def test_other_words_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match=r"expected onnxruntime==X\.Y\.Z"):
        parse_runtime(text)


@pytest.mark.parametrize("text", ["1.19.2", "0.99"])
def test_releases_before_the_first_known_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match=r"1\.20 or later"):
        parse_runtime(text)


def test_levels() -> None:
    assert parse_runtime("1.31", "basic").basic
    with pytest.raises(UsageError, match="expected default or basic, found 'all'"):
        parse_runtime("1.31", "all")


@pytest.mark.parametrize(
    ("version", "opset", "ir"),
    [
        ((1, 20), 21, 10),
        ((1, 21), 21, 10),
        ((1, 23), 23, 11),
        ((1, 25), 25, 13),
        ((1, 31), 26, 13),
        ((2, 0), 26, 13),
    ],
)
def test_what_releases_accept(version: tuple[int, int], opset: int, ir: int) -> None:
    assert (Runtime(version).max_opset, Runtime(version).max_ir) == (opset, ir)
