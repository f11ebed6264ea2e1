from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hwmodels import HardwareError, Metric, Precision, UnsupportedError, Workload, load_target, price_table
from hwmodels.machines.bitfusion_shapes import Shapes
from hwmodels.machines.bitfusion_sim import BitFusionSim

SPEC = Path(__file__).parents[4] / "hwmodels" / "specs" / "bitfusion-sim.toml"


@pytest.fixture(scope="module")
def machine() -> BitFusionSim:
    model = load_target("bitfusion-sim")
    assert isinstance(model, BitFusionSim)
    return model


def cycles(machine: BitFusionSim, work: Workload, precision: str) -> float:
    found = machine.cost(work, Precision.parse(precision)).cycles
    assert found is not None
    return found


def test_a_layer_that_is_one_tile_waits_for_what_it_moves(machine: BitFusionSim) -> None:
    # One row, 16 products, 32 outputs: everything is read once, and partial sums are read and written.
    single = Workload.gemm("single", 1, 16, 32)
    moved = 16 * 32 * 8 + 16 * 8 + 2 * 32 * 32
    assert cycles(machine, single, "w8a8") == -(-(192 + moved) // 192)


def test_outputs_cost_64_bits_at_any_precision(machine: BitFusionSim) -> None:
    wide = Workload.conv("wide", (16, 512), (1, 1), (56, 56))
    assert cycles(machine, wide, "w2a2") > 56 * 56 * 512 * 64 / 192


def test_the_image_wastes_lanes_at_every_precision(machine: BitFusionSim) -> None:
    first = Workload.conv("first", (3, 64), (7, 7), (112, 112), stride=2)
    compute = 2 * 112 * 112 * 49
    assert all(compute < cycles(machine, first, pair) < 1.001 * compute for pair in ("w8a8", "w4a4", "w2a2"))


def test_narrow_outputs_occupy_all_columns(machine: BitFusionSim) -> None:
    narrow, full = (Workload.conv("layer", (64, count), (3, 3), (28, 28)) for count in (8, 32))
    assert cycles(machine, narrow, "w8a8") >= 28 * 28 * 9 * 4
    assert cycles(machine, narrow, "w8a8") <= cycles(machine, full, "w8a8")


def test_many_rows_share_the_weights(machine: BitFusionSim) -> None:
    one, many = (Workload.gemm("layer", rows, 1024, 1024) for rows in (1, 4096))
    weight_cycles = 1024 * 1024 * 8 / 192
    assert weight_cycles < cycles(machine, one, "w8a8") < 1.1 * weight_cycles
    compute = 4096 * 1024 * 1024 / 512
    assert compute < cycles(machine, many, "w8a8") < 1.1 * compute


def test_depthwise_layers_use_one_lane_of_every_column(machine: BitFusionSim) -> None:
    depthwise = Workload.conv("depthwise", (96, 96), (3, 3), (28, 28), groups=96)
    moved = 96 * 28 * 28 * 64
    assert max(3 * 28 * 28 * 9, moved / 192) < cycles(machine, depthwise, "w8a8") < 1.5 * moved / 192


def test_groups_cost_no_more_than_the_dense_layer(machine: BitFusionSim) -> None:
    grouped, dense = (Workload.conv("layer", (128, 128), (3, 3), (28, 28), groups=count) for count in (4, 1))
    assert cycles(machine, grouped, "w8a8") < cycles(machine, dense, "w8a8")


@pytest.mark.parametrize(
    "work", [Workload.matmul("scores", 8, 49, 32, 49), Workload.recurrent("gru", (64, 128), gates=3, steps=8)]
)
def test_products_that_wait_for_each_other_add_up(machine: BitFusionSim, work: Workload) -> None:
    single = (
        Workload.matmul("one", 1, 49, 32, 49) if work.op == "MatMul" else Workload.gemm("one", 1, 192, 384)
    )
    assert cycles(machine, work, "w8a8") == 8 * cycles(machine, single, "w8a8")


def test_a_computed_operand_moves_at_activation_width(machine: BitFusionSim) -> None:
    scores = Workload.matmul("scores", 1, 1, 512, 512)
    assert cycles(machine, scores, "w8a4") < 0.6 * cycles(machine, scores, "w4a8")


def test_more_bits_never_take_less_time_where_the_padding_of_narrow_weights_would(
    machine: BitFusionSim,
) -> None:
    # 3 products are padded to 256 lanes at 2 bits, to 16 at 8.
    padded = Workload.gemm("padded", 1, 3, 256)
    pairs = [Precision(weight, act) for weight in range(1, 9) for act in range(1, 9)]
    grid = price_table(machine, [padded], pairs)[Metric.LATENCY].reshape(8, 8)
    assert (np.diff(grid, axis=0) >= 0).all()
    assert (np.diff(grid, axis=1) >= 0).all()


def test_equal_layers_are_priced_equally_among_others(machine: BitFusionSim) -> None:
    works = [Workload.conv(f"layer {at}", (16 * (1 + at % 3), 64), (3, 3), (14, 14)) for at in range(100)]
    pairs = [Precision(8, 8), Precision(3, 5)]
    table = price_table(machine, works, pairs)[Metric.LATENCY]
    assert table.shape == (100, 2)
    assert (table[0::3] == table[0]).all()
    assert [machine.cost(works[1], pair).latency_s for pair in pairs] == table[1].tolist()
    assert len({row.tobytes() for row in table}) == 3


def test_no_layers_cost_nothing(machine: BitFusionSim) -> None:
    assert price_table(machine, [], [Precision(8, 8)])[Metric.LATENCY].shape == (0, 1)


def test_the_stride_follows_from_the_sizes() -> None:
    shapes = Shapes.of(
        [
            Workload.conv("image", (3, 8), (3, 3), (16, 16), stride=2),
            Workload.conv("sound", (3, 8), (5,), (40,), stride=4),
        ]
    )
    assert shapes.stride.tolist() == [2, 4]
    assert (shapes.height.tolist(), shapes.width.tolist()) == ([16, 1], [16, 40])


def test_a_kernel_beyond_the_buffers_is_refused(machine: BitFusionSim) -> None:
    huge = Workload.conv("huge", (1, 32), (512, 512), (1, 1))
    with pytest.raises(UnsupportedError, match=r"bitfusion-sim: layer 'huge': .* 262144 positions"):
        machine.cost(huge, Precision(8, 8))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("act_bits = [2, 4, 8]", "act_bits = [4, 8]", "the same weight_bits and act_bits"),
        (
            "output_buffer_bytes = 16384",
            "output_buffer_bytes = 255",
            "output_buffer_bytes: expected at least 256",
        ),
        ("input_buffer_bytes = 32768\n", "", "input_buffer_bytes"),
    ],
)
def test_a_spec_that_cannot_be_is_refused(tmp_path: Path, old: str, new: str, message: str) -> None:
    path = tmp_path / "machine.toml"
    path.write_text(SPEC.read_text(encoding="utf-8").replace(old, new), encoding="utf-8")
    with pytest.raises(HardwareError, match=message.replace("[", r"\[")):
        load_target(str(path))
