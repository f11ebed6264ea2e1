"""Levels under training: means of blocks, true gradients, weights that take them."""

from __future__ import annotations

from dataclasses import replace
from functools import reduce

import numpy as np
import pytest

from passes.ir.plan import Role, TensorQuant
from passes.numerics import IntFormat, PerChannel, QuantParams, QuantSpec

torch = pytest.importorskip("torch", reason="needs the extra train")
from passes.training.gated_weight import GatedWeight  # noqa: E402
from passes.training.gates import Gates  # noqa: E402
from passes.training.level_table import LevelTable  # noqa: E402
from passes.training.lsq_weight import LsqWeight  # noqa: E402

CPU = torch.device("cpu")
SPEC = QuantSpec(IntFormat(8), PerChannel(0))
START = (-64, 0, 60, 100)


def table(entries: int = 4, unit: float = 1.0, correction: float = 0.0) -> LevelTable:
    return LevelTable(entries, unit, IntFormat(8), CPU, correction)


def tabled(levels: tuple[int, ...] = START, scale: float = 0.5) -> TensorQuant:
    params = QuantParams(np.array([scale], np.float32), np.zeros(1, np.int32))
    return TensorQuant(Role.WEIGHT, SPEC, params, levels=levels)


def test_a_change_moves_fewer_levels_by_the_means_of_the_block_matrix_of_the_paper() -> None:
    """``q^T (U / Z)`` with U as a Kronecker product of 2 x 2 matrices, the lowest gates closed."""
    change = np.array([1.0, 2.0, 3.0, 6.0, -4.0, -4.0, 0.0, 8.0])
    for bits, start in [(3, tuple(range(-80, 80, 20))), (2, START), (1, (-30, 30))]:
        levels = table(8)
        with torch.no_grad():
            levels.change.copy_(torch.tensor(change))
        factors = [np.eye(2) if bit < bits else np.ones((2, 2)) for bit in range(3)]
        matrix: np.ndarray = reduce(np.kron, factors)
        merged = (change @ (matrix / matrix.sum(axis=0)))[:: 8 >> bits]
        assert levels.levels(start) == tuple(int(level) for level in np.rint(np.array(start) + merged))


def test_a_level_has_the_gradients_of_the_weights_that_take_it_over_its_block() -> None:
    levels = table(8)
    steps = torch.tensor([[-70.0, -50.0, 1.0], [90.0, 58.0, 103.0]], requires_grad=True)
    found = levels.chosen(steps, START, torch.ones(1))
    assert found.tolist() == [[-64, -64, 0], [100, 60, 100]]
    torch.autograd.backward([torch.sum(found * torch.tensor([[1.0, 2.0, 4.0], [8.0, 16.0, 32.0]]))])
    # Two entries for each level: a level moves by the mean of both.
    assert levels.change.grad.tolist() == [1.5, 1.5, 2.0, 2.0, 8.0, 8.0, 20.0, 20.0]
    # Straight through within the table, and nothing beyond its ends.
    assert steps.grad.tolist() == [[0.0, 2.0, 4.0], [8.0, 16.0, 0.0]]


def test_a_unit_is_what_a_change_of_one_stands_for() -> None:
    levels = table(4, unit=64.0)
    with torch.no_grad():
        levels.change.copy_(torch.tensor([0.5, 0.0, 0.0, 1.0]))
    assert levels.levels(START) == (-32, 0, 60, 127)
    found = levels.chosen(torch.tensor([-30.0], requires_grad=True), START, torch.ones(1))
    torch.autograd.backward([found.sum()])
    assert levels.change.grad.tolist() == [64.0, 0.0, 0.0, 0.0]


def test_levels_that_pass_each_other_stay_a_table() -> None:
    levels = table()
    with torch.no_grad():
        levels.change.copy_(torch.tensor([100.0, 0.0, -60.0, 0.0]))
    assert levels.levels(START) == (0, 1, 36, 100)


def test_the_correction_moves_levels_towards_the_weights() -> None:
    def gradient(correction: float) -> list[float]:
        levels = table(correction=correction)
        steps = torch.tensor([-60.0, -62.0, 60.0, 97.0])
        found = levels.chosen(steps, START, torch.tensor([2.0, 2.0, 1.0, 1.0]))
        torch.autograd.backward([torch.sum(found * torch.tensor([3.0, 0.0, 0.0, 4.0]))])
        return list(levels.change.grad.tolist())

    assert gradient(0.0) == [3.0, 0.0, 0.0, 4.0]
    # Errors, times the squares of the units: 4 (-4 - 2) and 3; the loss has a gradient of length 5.
    further = np.array([-24.0, 0.0, 0.0, 3.0])
    expected = np.array([3.0, 0.0, 0.0, 4.0]) + 0.5 * 5.0 * further / np.linalg.norm(further)
    assert gradient(0.5) == pytest.approx(expected.tolist(), rel=1e-6)


def test_a_weight_starts_at_its_codes_and_moves_to_the_next_level() -> None:
    values = np.array([[-32.0, 31.0, -9.0]], np.float32)
    codes = np.array([[-64, 60, 0]], np.int8)
    weight = LsqWeight(values, tabled(), codes, np.zeros(1), CPU)
    assert weight.codes().tolist() == codes.tolist()
    assert weight.value().tolist() == [[-32.0, 30.0, 0.0]]
    assert weight.decision() == replace(tabled(), codes=codes)
    # A step of a weight is the distance of uniform levels of as many bits, 64 codes.
    with torch.no_grad():
        weight.latent += 40 / 64
        weight.table.change += torch.tensor([0.0, 0.125, 0.0, 0.0])
    found = weight.decision()
    assert found.levels == (-64, 8, 60, 100)
    assert found.codes is not None
    assert found.codes.tolist() == [[8, 100, 8]]


def test_a_gated_weight_has_a_table_of_each_width() -> None:
    values = np.array([[-30.0, 31.0, 2.0]], np.float32)
    quants = [tabled((-60, 60)), tabled(), replace(tabled(), levels=None)]
    codes = np.array([[-60, 62, 4]], np.int8)
    gates = Gates((1, 2, 8), CPU)
    weight = GatedWeight(values, quants, codes, np.zeros(1), gates)
    gates.learn()
    wanted = [[[-30.0, 30.0, 30.0]], [[-32.0, 30.0, 0.0]], [[-30.0, 31.0, 2.0]]]
    for place, expected in enumerate(wanted):
        gates.place = place
        assert weight.value().tolist() == expected
        assert weight.decision().stored_bits == gates.bits
    assert weight.table is not None
    assert weight.table.change.shape == (256,)
