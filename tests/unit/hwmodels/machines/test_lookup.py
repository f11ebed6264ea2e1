from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from hwmodels import (
    HardwareModel,
    Precision,
    SpecError,
    UnsupportedError,
    Workload,
    load_target,
    network_cost,
)
from hwmodels.testing import SAMPLES, check_hardware_model

ARITHMETIC = """
[machine]
name = "board"
architecture = "lookup"
description = "a table"

[arithmetic]
pairs = ["w4a8", "w8a8"]
accumulator_bits = 32
rounding = "half_even"
shared_parameter_ops = []
source = "a test"

[lookup]
source = "measured: a test"
"""
BY_NAME = "layer,weight_bits,act_bits,latency_s\n"
BY_SHAPE = "op,kernel,out_size,stride,in_ch,out_ch,groups,weight_bits,act_bits,latency_s\n"
FIRST = Workload.conv("first", (3, 16), (3, 3), (8, 8), stride=2)
SECOND = Workload.conv("second", (16, 16), (3, 3), (8, 8))
NAMED = BY_NAME + "first,4,8,0.001\nfirst,8,8,0.002\nsecond,4,8,0.003\nsecond,8,8,0.005\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


def load(folder: Path, keys: str) -> HardwareModel:
    path = folder / "board.toml"
    path.write_text(ARITHMETIC + keys)
    return load_target(str(path))


def load_csv(folder: Path, text: str, by: str = "name") -> HardwareModel:
    (folder / "times.csv").write_text(text)
    return load(folder, f'table = "times.csv"\nby = "{by}"\n')


def load_npy(folder: Path, array: np.ndarray, keys: str = "") -> HardwareModel:
    np.save(folder / "times.npy", array)
    return load(folder, f'table = "times.npy"\nby = "name"\nlayers = ["first", "second"]\n{keys}')


def test_a_layer_is_found_by_its_name(folder: Path) -> None:
    model = load_csv(folder, NAMED)
    assert model.cost(SECOND, Precision(8, 8)).latency_s == 0.005
    assert model.cost(SECOND, Precision(8, 8)).cycles is None
    total = network_cost(model, [FIRST, SECOND], [Precision(8, 8), Precision(4, 8)]).total
    assert total.latency_s == pytest.approx(0.005)


def test_precisions_between_measured_ones_round_up(folder: Path) -> None:
    cost = load_csv(folder, NAMED).cost(FIRST, Precision(5, 2))
    assert (cost.priced_as, cost.latency_s) == (Precision(8, 8), 0.002)


def test_energy_is_estimated_where_it_was_measured(folder: Path) -> None:
    rows = "first,4,8,0.001,0.5\nfirst,8,8,0.002,0.75\n"
    cost = load_csv(folder, BY_NAME.replace("_s\n", "_s,energy_j\n") + rows).cost(FIRST, Precision(8, 8))
    assert (cost.latency_s, cost.energy_j) == (0.002, 0.75)


def test_a_layer_that_was_not_measured_is_refused(folder: Path) -> None:
    model = load_csv(folder, NAMED)
    third = Workload.gemm("third", 1, 16, 16)
    for refused in (
        lambda: model.rules(third),
        lambda: network_cost(model, [FIRST, third], [Precision(8, 8)] * 2),
    ):
        with pytest.raises(UnsupportedError, match="'third' was not measured; known are first, second"):
            refused()


@pytest.fixture
def shapes(folder: Path) -> HardwareModel:
    """Convolutions of 1000 and of 4000 products, the latter ten times as slow; one fully connected layer."""
    rows = (
        *("Conv,1x1,10x10,1,2,5,1,4,8,0.001", "Conv,1x1,10x10,1,2,5,1,8,8,0.002"),
        *("Conv,1x1,20x20,1,2,5,1,4,8,0.01", "Conv,1x1,20x20,1,2,5,1,8,8,0.02"),
        *("Gemm,,1,1,10,10,1,4,8,0.003", "Gemm,,1,1,10,10,1,8,8,0.004"),
    )
    return load_csv(folder, BY_SHAPE + "\n".join(rows) + "\n", by="shape")


def seconds(model: HardwareModel, work: Workload) -> float | None:
    return model.cost(work, Precision(8, 8)).latency_s


def test_a_layer_is_found_by_its_shape(shapes: HardwareModel) -> None:
    assert seconds(shapes, Workload.conv("any", (2, 5), (1, 1), (20, 20))) == 0.02
    assert seconds(shapes, Workload.conv("four images", (2, 5), (1, 1), (20, 20), batch=4)) == 0.08


def test_a_matrix_product_with_stored_weights_is_a_gemm(shapes: HardwareModel) -> None:
    assert seconds(shapes, Workload.gemm("fc", 1, 10, 10)) == 0.004


@pytest.mark.parametrize(
    ("side", "expected"), [(10, 0.002), (5, 0.002 / 4), (40, 0.08), (14, 0.002 * 10 ** math.log(1.96, 4))]
)
def test_between_shapes_time_is_linear_in_logarithms(
    shapes: HardwareModel, side: int, expected: float
) -> None:
    # A stride makes these shapes none of the measured ones.
    work = Workload.conv("between", (2, 5), (1, 1), (side, side), stride=2)
    assert seconds(shapes, work) == pytest.approx(expected)


def test_a_kind_that_was_not_measured_is_refused(shapes: HardwareModel) -> None:
    depthwise = Workload.conv("depthwise", (2, 2), (1, 1), (10, 10), groups=2)
    with pytest.raises(UnsupportedError, match="'depthwise' was not measured; known are Conv, Gemm"):
        shapes.precisions(depthwise)


def test_shapes_of_equal_work_are_averaged(folder: Path) -> None:
    rows = "".join(
        f"Gemm,,1,1,{inner},{100 // inner},1,{bits},8,{time}\n"
        for inner, time in ((10, 0.001), (20, 0.004))
        for bits in (4, 8)
    )
    model = load_csv(folder, BY_SHAPE + rows, by="shape")
    assert seconds(model, Workload.gemm("other", 1, 50, 2)) == pytest.approx(0.002)


def test_a_table_by_shape_keeps_the_promises_of_a_machine(shapes: HardwareModel) -> None:
    check_hardware_model(shapes)
    assert sum(work.op == "Conv" for work in SAMPLES) == 4


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (NAMED + "first,4,8,0.1\n", r"row 5: expected every layer and pair once, found first at w4a8 again"),
        (NAMED + "third,4,8,0.1\n", r"third at w8a8: expected a row, found none"),
        (NAMED + "first,4,4,0.1\n", r"first at w4a4: expected no row, since \[arithmetic\] does not list it"),
        (NAMED + "third,4,8,nan\n", r"row 5: latency_s: expected a positive number, found 'nan'"),
        (NAMED + "third,4,8,-1\n", r"row 5: latency_s: expected a positive number, found '-1'"),
        (NAMED + "third,4,8,inf\n", r"row 5: latency_s: .* found 'inf'"),
        (NAMED + "third,4,8,\n", r"row 5: latency_s: .* found ''"),
        (NAMED + "third,four,8,1\n", r"row 5: weight_bits: expected a positive whole number, found 'four'"),
        (NAMED + "third,99,8,1\n", r"row 5: precision: weight_bits must be an integer from 1 to 32"),
        (NAMED + "third,4,8\n", r"row 5: expected as many fields as columns"),
        (NAMED + "third,4,8,1,2\n", r"row 5: expected as many fields as columns"),
        (BY_NAME, "expected at least one row, found none"),
        ("", "expected the columns layer, weight_bits, act_bits, latency_s and possibly energy_j"),
        ("layer,layer,weight_bits\n", r"expected the columns .* found \['layer', 'layer', 'weight_bits'\]"),
        (BY_NAME + '"first,4,8,1\n', "expected CSV in UTF-8"),
    ],
)
def test_a_bad_row_is_named(folder: Path, text: str, message: str) -> None:
    with pytest.raises(SpecError, match=rf"board\.toml: \[lookup\] table 'times\.csv':.*{message}"):
        load_csv(folder, text)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("Conv,3x0,8x8,1,3,16,1,8,8,1", "row 1: kernel: expected a positive whole number, found '0'"),
        ("Conv,3x3,8x8,1,3,16,,8,8,1", "row 1: groups: expected a positive whole number, found ''"),
        ("Pool,3x3,8x8,1,3,16,1,8,8,1", "row 1: expected op to be one of Conv, ConvTranspose, Gemm"),
        ("Conv,3x3x3x3,8x8,1,3,16,1,8,8,1", "with at most 3 sizes per field"),
    ],
)
def test_a_bad_shape_is_named(folder: Path, row: str, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        load_csv(folder, BY_SHAPE + row + "\n", by="shape")


def test_bytes_that_are_no_text_are_refused(folder: Path) -> None:
    (folder / "times.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SpecError, match="expected CSV in UTF-8"):
        load(folder, 'table = "times.csv"\nby = "name"\n')


@pytest.mark.parametrize("table", ["/etc/passwd.csv", "../times.csv", "below/../../times.csv", "C:times.csv"])
def test_only_files_of_the_own_folder_are_read(folder: Path, table: str) -> None:
    with pytest.raises(SpecError, match=r"\[lookup\] table: expected a relative path inside the folder"):
        load(folder, f'table = "{table}"\nby = "name"\n')


def test_a_link_out_of_the_folder_is_refused(folder: Path) -> None:
    inside = folder / "inside"
    inside.mkdir()
    (folder / "times.csv").write_text(NAMED)
    (inside / "times.csv").symlink_to(folder / "times.csv")
    with pytest.raises(
        SpecError, match="expected a file inside the folder of this file, found a link out of it"
    ):
        load(inside, 'table = "times.csv"\nby = "name"\n')


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ('table = "absent.csv"\nby = "name"\n', r"table: expected a file, found none at 'absent\.csv'"),
        ('table = "a\\u0000b.csv"\nby = "name"\n', r"\[lookup\] table: expected a file that can be read"),
        ('table = "times.csv"\nby = "position"\n', "by: expected name or shape, found 'position'"),
        ('table = "times.txt"\nby = "name"\n', r"table: expected a \.csv file, or an \.npy file"),
        (
            'table = "times.npy"\nby = "shape"\n',
            r"expected a \.csv file, or an \.npy file that is read by name",
        ),
        ('table = "t.npy"\nby = "name"\nunit = "ms"\n', "unit: expected s or cycles, found 'ms'"),
    ],
)
def test_a_wrong_key_is_named(folder: Path, keys: str, message: str) -> None:
    (folder / "t.npy").write_bytes(b"")
    with pytest.raises(SpecError, match=message):
        load(folder, keys)


@pytest.mark.parametrize("order", ["C", "F"])
def test_an_array_is_read_in_either_order(folder: Path, order: str) -> None:
    array = np.arange(1.0, 2 * 8 * 8 + 1).reshape(2, 8, 8)
    model = load_npy(folder, np.asarray(array, order=order))  # type: ignore[call-overload]
    assert model.cost(SECOND, Precision(4, 8)).latency_s == array[1, 3, 7]


def test_cycles_need_a_clock(folder: Path) -> None:
    array = np.full((2, 8, 8), 500, dtype=np.int64)
    cost = load_npy(folder, array, 'unit = "cycles"\nclock_hz = 1e6\n').cost(FIRST, Precision(8, 8))
    assert (cost.cycles, cost.latency_s) == (pytest.approx(500), pytest.approx(5e-4))
    for keys in ('unit = "cycles"\n', "clock_hz = 1e6\n"):
        with pytest.raises(SpecError, match=r"\[lookup\] clock_hz: expected a clock for cycles"):
            load_npy(folder, array, keys)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.ones((3, 8, 8)), r"layers to name its 3 layers, each once, found 2 names"),
        (
            np.ones((2, 4, 8)),
            r"expected axes layer, at least 8 and at least 8 bits, found the shape \(2, 4, 8\)",
        ),
        (np.ones((2, 8)), r"found the shape \(2, 8\)"),
        (np.zeros((2, 8, 8)), r"'first' at w4a8: expected a positive number, found 0\.0"),
        (np.full((2, 8, 8), np.nan), r"'first' at w4a8: expected a positive number, found nan"),
        (np.ones((2, 8, 8), dtype=complex), "expected an array of one of"),
    ],
)
def test_a_bad_array_is_refused(folder: Path, array: np.ndarray, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        load_npy(folder, array)


def test_a_table_by_name_keeps_the_promises_of_a_machine(folder: Path) -> None:
    machine = load_csv(folder, NAMED)
    assert machine.layer_names == ("first", "second")  # type: ignore[attr-defined]
    check_hardware_model(machine)
