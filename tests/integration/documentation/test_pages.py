"""What pages promise beyond commands that succeed."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from reader import Reader

import qtool
from hwmodels import load_target
from hwmodels.testing import check_hardware_model
from qtool.check.config import Options
from qtool.check.tolerances import NAMES

Read = Callable[[str], Reader]


def test_the_api_page(read: Read) -> None:
    reader = read("docs/api.md")
    compiled, _, _, pipeline, analysis, price = reader.said.values()
    accuracy, size, uniform = map(float, compiled.splitlines()[0].split())
    assert accuracy > 0.9
    assert size <= 0.6 * uniform
    assert len(list((reader.folder / "front").iterdir())) > 1
    assert int(analysis) == 59056
    assert "fold-batchnorm" in pipeline
    assert price.endswith("True\n")


def test_every_public_name_is_on_the_api_page(repository: Path) -> None:
    page = (repository / "docs" / "api.md").read_text(encoding="utf-8")
    missing = [name for name in qtool.__all__ if f"`{name}`" not in page and name != "__version__"]
    assert not missing


def test_the_tutorial(read: Read) -> None:
    reader = read("docs/tutorial.md")
    runtime, packed = (float(said) for said in reader.said.values() if re.fullmatch(r"0\.\d+\n", said))
    assert runtime == packed > 0.97
    assert (reader.folder / "edited" / "model.qpk").is_file()


def test_a_pass_of_ones_own(read: Read) -> None:
    reader = read("docs/howto/add-pass.md")
    assert (reader.folder / "rounded.onnx").is_file()
    assert "1 passed" in list(reader.said.values())[-1]


def test_a_machine_of_ones_own(read: Read) -> None:
    reader = read("docs/howto/add-machine.md")
    # 64 * 128 * 32 products of 8 bits are more than (64 * 160 + 128 * 32) * 8 / 32 cycles of traffic.
    assert list(reader.said.values())[-1] == "32768.0 w4a8\n"
    for file in ("wide.toml", "board.toml"):
        check_hardware_model(load_target(str(reader.folder / file)))


def test_a_size_limit(read: Read) -> None:
    said = next(iter(list(read("docs/howto/microcontroller.md").said.values())[1:]))
    assert re.search(r"budget weights: .* of 40 kB, met", said)


def test_the_five_minutes_of_continuous_integration(read: Read, repository: Path) -> None:
    page = (repository / "docs" / "ci.md").read_text(encoding="utf-8")
    named = re.findall(r"^\| `([a-z.]+\.[a-z]+)` \|", page, re.MULTILINE)
    assert len(named) == 4
    assert all((read("docs/ci.md").folder / "qtool-out" / name).is_file() for name in named)


def test_every_key_is_on_the_page_of_continuous_integration(repository: Path) -> None:
    page = (repository / "docs" / "ci.md").read_text(encoding="utf-8")
    names = (*NAMES, *(field.name for field in fields(Options)))
    assert [name for name in names if f"`{name}`" not in page] == []


def test_the_third_party_package(read: Read) -> None:
    reader = read("samples/third_party/README.md")
    (said,) = reader.said.values()
    assert all(word in said for word in ("clamp-weights", "acme", "budget latency", "3 passed"))
    assert (reader.folder / "clamped.onnx").is_file()


def test_a_machine_in_one_file(read: Read) -> None:
    reader = read("samples/custom_target/README.md")
    assert (reader.folder / "out" / "model.qpk").is_file()
    check_hardware_model(load_target(str(reader.folder / "samples" / "custom_target" / "board.toml")))


def test_deployment_from_python(read: Read, compiled: Path, quickstart: Path) -> None:
    file = compiled / "model.qdq.onnx"
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    with np.load(quickstart / "digits_eval.npz") as arrays:
        scores = session.run(None, {"image": arrays["image"][:8]})[0]
    (said,) = read("samples/deploy/README.md").said.values()
    assert said == " ".join(str(each) for each in scores.argmax(-1)) + "\n"


@pytest.mark.parametrize("page", ["docs/search.md", "docs/index.md", "README.md"])
def test_a_folder_of_results_is_left(read: Read, page: str) -> None:
    assert (read(page).folder / "out" / "report.html").is_file()
