"""From made-up times to a machine file that prices layers with them."""

from __future__ import annotations

from pathlib import Path

import pytest

from hwmodels import Elementwise, Workload, load_target
from passes.errors import DataError
from qtool.probe.grid import grid
from qtool.probe.journal import Journal
from qtool.probe.measure import OVERHEAD
from qtool.probe.shapes import OperatorShape, Point
from qtool.probe.tables import fit_tables
from qtool.probe.write import machine_toml

POINTS = grid(24)


def made_up_s(point: Point) -> float:
    """2 ns per MAC and weight bit, or 1 ns per element read; a float Add is fused."""
    work = point.shape.work
    if isinstance(work, Workload):
        return 5e-6 + 2e-9 * work.macs * point.precision.weight_bits
    free = isinstance(point.shape, OperatorShape) and work.op == "Add" and point.precision.act_bits == 32
    return 0.0 if free else 5e-6 + 1e-9 * work.in_elements


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    """Two rounds, the second 10% slower, with 1 us of the profile's own."""
    journal = Journal(tmp_path / "journal", {})
    for turn, slower in ((0, 1.0), (1, 1.1)):
        journal.add(OVERHEAD, turn, 1e-6)
        for point in POINTS:
            seconds = made_up_s(point)
            journal.add(point.key, turn, slower * (seconds + 1e-6) if seconds else 0.0)
    return journal


def test_a_machine_file_prices_as_was_measured(journal: Journal, tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(machine_toml("mine", {"processor": 'an "odd" \\ name\n'}, fit_tables(POINTS, journal)))
    machine = load_target(str(path))
    assert machine.name == "mine"
    for point in POINTS:
        work, bits = point.shape.work, point.precision.act_bits
        if isinstance(work, Workload):
            assert machine.cost(work, point.precision).latency_s == pytest.approx(made_up_s(point), rel=1e-3)
        elif work.op == "QuantizeLinear":
            convert = Elementwise.conversion("t", work.in_elements)
            assert machine.elementwise_cost(convert, 32, 8).latency_s == pytest.approx(
                made_up_s(point), rel=1e-3
            )
        elif work.op != "DequantizeLinear":
            found = machine.elementwise_cost(work, bits, bits).latency_s
            assert found == pytest.approx(made_up_s(point), rel=1e-3, abs=1e-12)


def test_residuals_are_in_the_file(journal: Journal) -> None:
    text = machine_toml("mine", {"threads": "1"}, fit_tables(POINTS, journal))
    assert "rounds differed by 5.0%" in text
    assert 'source = "measured: 24 points, held-out median error 0.0%' in text
    assert '[add_32bit]\nsource = "measured: fused' in text


def test_too_much_noise_is_refused(journal: Journal) -> None:
    for point in POINTS:
        journal.add(point.key, 1, 2 * made_up_s(point) + 1e-6)
    with pytest.raises(DataError, match=r"rounds differ by .*--repeat"):
        fit_tables(POINTS, journal)
