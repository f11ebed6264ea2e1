"""``qtool run`` on artifacts and arrays that cannot be used."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import Result

Cli = Callable[..., Result]


def edited(data: bytes, edit: Callable[[dict[str, Any]], None]) -> bytes:
    """A safetensors file with another header: 8 bytes of length, JSON, tensors."""
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + size])
    edit(header)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + data[8 + size :]


def newer(header: dict[str, Any]) -> None:
    header["__metadata__"]["version"] = "99"


def larger(header: dict[str, Any]) -> None:
    name = next(name for name in header if name not in ("__metadata__", "graph"))
    header[name]["shape"] = [10**15]


def beyond_the_end(header: dict[str, Any]) -> None:
    name = next(name for name in header if name not in ("__metadata__", "graph"))
    header[name]["data_offsets"] = [0, 2**62]


@pytest.fixture
def inputs(tmp_path: Path) -> Path:
    np.savez(tmp_path / "x.npz", image=np.zeros((2, 1, 8, 8), np.float32))
    return tmp_path / "x.npz"


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda data: data[: len(data) // 2], []),
        (lambda data: data[:4], []),
        (lambda _: b"", []),
        (lambda data: edited(data, newer), ["version '99'"]),
        (lambda data: edited(data, larger), []),
        (lambda data: edited(data, beyond_the_end), []),
        (lambda data: (2**63).to_bytes(8, "little") + data[8:], []),
    ],
    ids=["half", "four bytes", "empty", "newer", "larger", "beyond the end", "huge header"],
)
def test_a_damaged_artifact_is_refused(
    cli: Cli, compiled: Path, inputs: Path, damage: Callable[[bytes], bytes], words: list[str]
) -> None:
    path, out = inputs.with_name("bad.qpk"), inputs.with_name("y.npz")
    path.write_bytes(damage((compiled / "model.qpk").read_bytes()))
    out.write_bytes(b"earlier")
    result = cli("run", path, "--input", inputs, "-o", out)
    assert result.exit_code == 3, result.output
    for word in ["bad.qpk", *words]:
        assert word in result.stderr
    assert out.read_bytes() == b"earlier"
    assert {file.name for file in out.parent.iterdir()} == {"bad.qpk", "x.npz", "y.npz"}


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"picture": np.zeros((1, 1, 8, 8), np.float32)}, ["image", "picture"]),
        ({"image": np.zeros((1, 8, 8), np.float32)}, ["image"]),
        ({"image": np.full((1, 1, 8, 8), np.nan, np.float32)}, ["image", "NaN"]),
        ({"image": np.array(["a"])}, ["image"]),
    ],
    ids=["name", "rank", "nan", "text"],
)
def test_arrays_that_do_not_fit_are_refused(
    cli: Cli, compiled: Path, tmp_path: Path, arrays: dict[str, Any], words: list[str]
) -> None:
    np.savez(tmp_path / "x.npz", **arrays)
    result = cli("run", compiled / "model.qpk", "--input", tmp_path / "x.npz", "-o", tmp_path / "y.npz")
    assert result.exit_code == 3, result.output
    for word in words:
        assert word in result.stderr
    assert not (tmp_path / "y.npz").exists()
