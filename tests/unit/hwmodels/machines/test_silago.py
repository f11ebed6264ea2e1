from __future__ import annotations

from pathlib import Path

import pytest

from hwmodels import Precision, SpecError, UnsupportedError, Workload, load_target

WORK = Workload.gemm("layer", 10, 100, 20)


@pytest.mark.parametrize(
    ("bits", "rate", "product_pj"), [(16, 1, 1.666), (8, 2, 1.084 / 2), (4, 4, 0.613 / 4)]
)
def test_time_and_energy_follow_the_published_formulas(bits: int, rate: int, product_pj: float) -> None:
    cost = load_target("silago").cost(WORK, Precision(bits, bits))
    assert cost.cycles == 20_000 / rate
    assert cost.energy_j == pytest.approx((2000 * bits * 0.08 + 20_000 * product_pj) * 1e-12)
    assert (cost.on_chip_j, cost.off_chip_j) == (pytest.approx(2000 * bits * 0.08e-12), 0)


def test_both_operands_have_the_same_width() -> None:
    model = load_target("silago")
    cost = model.cost(WORK, Precision(3, 6))
    assert cost.priced_as == Precision(8, 8)
    assert cost.weight_bytes == 2000
    with pytest.raises(UnsupportedError, match="w17a4"):
        model.cost(WORK, Precision(17, 4))


def test_a_computed_right_side_is_read_like_weights() -> None:
    scores = Workload.matmul("scores", 2, 4, 8, 4)
    cost = load_target("silago").cost(scores, Precision(8, 8))
    assert cost.energy_j == pytest.approx((64 * 8 * 0.08 + 256 * 0.542) * 1e-12)


def test_every_pair_needs_an_energy(tmp_path: Path, repository: Path) -> None:
    text = (repository / "hwmodels" / "specs" / "silago.toml").read_text()
    path = tmp_path / "short.toml"
    path.write_text(text.replace("[0.15325, 0.542, 1.666]", "[0.15325, 0.542]"))
    with pytest.raises(SpecError, match=r"\[energy\] products_pj_per_mac: expected 3 energies"):
        load_target(str(path))
