"""Layer lists in CSV, and their price."""

from __future__ import annotations

from pathlib import Path

import pytest

from hwmodels import Precision, Workload, load_target
from passes.errors import DataError
from qtool.layer_list import read_layers
from qtool.price import price_layers

HEAD = "layer,kernel,out_size,stride,in_ch,out_ch"


def listed(folder: Path, text: str) -> Path:
    path = folder / "layers.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_rows_are_convolutions_and_fully_connected_layers(tmp_path: Path) -> None:
    path = listed(tmp_path, f"{HEAD},groups\nconv,3,56,2,64,128,\ndw,3,28,1,32,32,32\nfc,1,1,1,512,1000,1\n")
    assert read_layers(path, batch=2) == (
        Workload.conv("conv", (64, 128), (3, 3), (56, 56), stride=2, batch=2),
        Workload.conv("dw", (32, 32), (3, 3), (28, 28), batch=2, groups=32),
        Workload.gemm("fc", 2, 512, 1000),
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected the columns layer,kernel"),
        ("layer,kernel\na,1\n", "expected the columns"),
        (f"{HEAD},colour\n", "expected the columns"),
        (f"{HEAD}\n", "holds no layers"),
        (f"{HEAD}\nconv,3,56,1,64\n", "line 2: not a layer"),
        (f"{HEAD}\nconv,3,56,1,64,64,9\n", "line 2"),
        (f"{HEAD}\nok,3,56,1,64,64\nconv,3,x,1,64,64\n", "line 3: not a layer"),
        (f"{HEAD}\nconv,3,56,1,-64,64\n", "line 2: not a layer"),
        (f"{HEAD}\nconv,3,0,1,64,64\n", "line 2: not a layer"),
    ],
)
def test_other_lists_are_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_layers(listed(tmp_path, text))


def test_a_missing_or_binary_list_is_refused(tmp_path: Path) -> None:
    (tmp_path / "binary.csv").write_bytes(b"\xff\xfe\x00")
    for name in ("none.csv", "binary.csv"):
        with pytest.raises(DataError, match=name):
            read_layers(tmp_path / name)


def test_prices_are_those_of_the_machine_and_add_up(tmp_path: Path) -> None:
    machine = load_target("bitfusion")
    layers = read_layers(listed(tmp_path, f"{HEAD}\na,3,56,1,64,64\nb,1,1,1,64,10\n"))
    document = price_layers(machine, layers, Precision(8, 8))
    assert document["precision"] == "w8a8"
    assert document["layers"][0]["cycles"] == 225792
    assert document["layers"][0]["weight_bytes"] == 9 * 64 * 64
    for quantity in ("cycles", "latency_s", "energy_j", "weight_bytes", "bops"):
        parts = [layer[quantity] for layer in document["layers"]]
        assert document["total"][quantity] == pytest.approx(sum(parts))


def test_what_a_machine_does_not_estimate_is_null(tmp_path: Path) -> None:
    layers = read_layers(listed(tmp_path, f"{HEAD}\na,3,56,1,64,64\n"))
    document = price_layers(load_target("generic"), layers, Precision(4, 4))
    assert document["total"]["latency_s"] is None
    assert document["total"]["weight_bytes"] == 9 * 64 * 64 / 2
