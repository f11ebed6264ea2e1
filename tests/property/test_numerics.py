"""Laws that the numerics keep for every input."""

from __future__ import annotations

from fractions import Fraction
from math import floor

import numpy as np
from hypothesis import assume, example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from passes.artifact import PackedWeight, WeightLayout
from passes.numerics import (
    SUPPORTED_BITS,
    Histogram,
    IntFormat,
    QuantSpec,
    RangeMethod,
    RequantRule,
    Rounding,
    activation_range,
    dequantize,
    fake_quantize,
    pack_bits,
    pack_flat,
    pack_gemm,
    params_from_range,
    quantize,
    requantizer,
    rounding_shift_right,
    unpack_bits,
    unpack_flat,
    unpack_gemm,
)
from passes.numerics.levels import check_table, distinct_levels

INT64 = st.integers(-(2**63), 2**63 - 1)
INT32 = st.integers(-(2**31), 2**31 - 1)
SEEDS = st.integers(0, 2**32 - 1)
FORMATS = st.builds(IntFormat, st.sampled_from(SUPPORTED_BITS), st.booleans())
SPECS = st.builds(QuantSpec, FORMATS, symmetric=st.booleans())
MODERATE = st.floats(-1e6, 1e6, width=32)
VALUES = hnp.arrays(np.float32, st.integers(1, 60), elements=MODERATE)


def exact(value: Fraction, mode: Rounding) -> int:
    """Round a rational number with Python's integers."""
    if mode is Rounding.HALF_EVEN:
        return round(value)
    if mode is Rounding.HALF_UP:
        return floor(value + Fraction(1, 2))
    if mode is Rounding.HALF_AWAY:
        magnitude = floor(abs(value) + Fraction(1, 2))
        return magnitude if value >= 0 else -magnitude
    return floor(value)


@given(INT64, st.integers(0, 62), st.sampled_from(Rounding))
def test_rounding_shift_is_exact(x, shift, mode):
    shifted = rounding_shift_right(np.array([x]), shift, mode)
    assert int(shifted[0]) == exact(Fraction(x, 2**shift), mode)


@given(INT32, st.floats(1e-12, 1000.0), st.sampled_from(Rounding))
def test_fixed_point_rounds_the_exact_product_once(acc, real, mode):
    made = requantizer(real)
    stored = Fraction(int(made.multiplier), 2 ** int(made.shift))
    assert abs(stored - Fraction(real)) <= Fraction(real) / 2**20
    top = 2**31 - 1
    product = acc * stored
    expected = min(max(exact(product, mode) + 3, -top), top)
    assert int(made.apply(np.array([acc]), 3, -top, top, mode)[0]) == expected


@given(st.lists(INT32, min_size=2, max_size=20), st.floats(1e-9, 100.0), st.sampled_from(RequantRule))
def test_requantization_keeps_order(accs, real, rule):
    codes = requantizer(real, rule=rule).apply(np.array(sorted(accs)), 0, -128, 127)
    assert (np.diff(codes) >= 0).all()


@given(INT32, st.floats(1e-9, 100.0))
def test_gemmlowp_is_within_one_of_exact(acc, real):
    assume(abs(acc) * real < 2**30)
    made = requantizer(real, rule=RequantRule.GEMMLOWP)
    top = 2**31 - 1
    exactly = Fraction(acc * int(made.multiplier), 2 ** int(made.shift))
    assert abs(int(made.apply(np.array([acc]), 0, -top, top)[0]) - exactly) <= 1


@given(st.integers(1, 63), st.data())
def test_bit_stream_round_trips(bits, data):
    values = np.array(data.draw(st.lists(st.integers(0, 2**bits - 1), max_size=50)), dtype=np.int64)
    packed = pack_bits(values, bits)
    assert packed.size == -(-len(values) * bits // 8)
    np.testing.assert_array_equal(unpack_bits(packed, bits, len(values)), values)


@given(FORMATS, st.integers(1, 40), st.integers(1, 70), SEEDS)
def test_packed_weights_round_trip(fmt, n, k, seed):
    q = np.random.default_rng(seed).integers(fmt.qmin, fmt.qmax, (n, k), endpoint=True)
    np.testing.assert_array_equal(unpack_gemm(pack_gemm(q, fmt), fmt, n, k), q)
    np.testing.assert_array_equal(unpack_flat(pack_flat(q, fmt), fmt, q.size), q.reshape(-1))


@given(VALUES, SPECS)
def test_error_inside_the_range_is_half_a_step(x, spec):
    assume(spec.format.bits > 1)
    params = params_from_range(x.min(), x.max(), spec)
    error = np.abs(x.astype(np.float64) - fake_quantize(x, spec, params))
    # The zero point moves an asymmetric range by up to half a step, which the ends then lose to saturation.
    steps = 0.5 if spec.symmetric else 1.0
    assert (error <= params.scale * steps + np.abs(x) * 2.0**-21).all()


@given(VALUES, SPECS)
def test_zero_is_exact(x, spec):
    params = params_from_range(x.min(), x.max(), spec)
    assert fake_quantize(np.zeros(1, dtype=np.float32), spec, params) == 0.0


@given(VALUES, SPECS)
def test_quantization_keeps_order_and_stays_in_the_format(x, spec):
    params = params_from_range(x.min() / 2, x.max() / 2 if x.max() > 0 else 0, spec)
    q = quantize(np.sort(x), spec, params).astype(np.int64)
    assert (np.diff(q) >= 0).all()
    assert q.min() >= spec.format.qmin
    assert q.max() <= spec.format.qmax


@given(VALUES, SPECS)
def test_quantizing_again_changes_nothing(x, spec):
    params = params_from_range(x.min(), x.max(), spec)
    q = quantize(x, spec, params)
    np.testing.assert_array_equal(quantize(dequantize(q, spec, params), spec, params), q)


@given(hnp.arrays(np.float32, 2, elements=st.floats(width=32, allow_nan=False, allow_infinity=False)), SPECS)
def test_any_finite_range_gives_a_usable_quantizer(ends, spec):
    params = params_from_range(ends.min(), ends.max(), spec)
    assert np.finfo(np.float32).tiny <= params.scale < np.inf
    assert spec.format.qmin <= params.zero_point <= spec.format.qmax + (spec.format.bits == 1)


@given(st.lists(VALUES, min_size=1, max_size=5))
@example([np.array([2048.0], np.float32), np.array([-1e-45], np.float32)])
def test_histogram_counts_every_value_in_any_order(batches):
    forward, merged = Histogram(), Histogram()
    for batch in batches:
        forward.update(batch)
    for batch in reversed(batches):
        part = Histogram()
        part.update(batch)
        merged.merge(part)
    assert forward.total == sum(batch.size for batch in batches)
    np.testing.assert_array_equal(forward.counts, merged.counts)


@given(VALUES, SPECS, st.sampled_from(RangeMethod))
def test_ranges_lie_within_what_was_observed(x, spec, method):
    histogram = Histogram()
    histogram.update(x)
    lo, hi = activation_range(histogram, spec, method, 99.0)
    assert min(float(x.min()), 0.0) <= lo <= hi <= max(float(x.max()), 0.0)


@given(st.sets(st.integers(-128, 127), min_size=2, max_size=128), SEEDS, st.sampled_from(WeightLayout))
def test_indices_of_levels_are_packed_and_looked_up(levels, seed, layout):
    table = tuple(sorted(levels))
    codes = np.random.default_rng(seed).choice(table, (5, 1, 3, 2)).astype(np.int8)
    packed = PackedWeight.pack_levels(codes, table, name="w", layout=layout, scale=np.float32([1.0]))
    assert 2 ** (packed.bits - 1) < len(table) <= 2**packed.bits or len(table) == 2
    np.testing.assert_array_equal(packed.unpack(), codes)
    np.testing.assert_array_equal(packed.decoded().unpack_stored(), packed.unpack_stored())


@given(st.lists(st.floats(-200, 200), min_size=2, max_size=128))
def test_distinct_levels_are_a_table_and_near_where_there_is_room(wanted):
    levels = distinct_levels(np.sort(wanted), IntFormat(8))
    check_table(levels.tolist(), IntFormat(8))
    rounded = np.rint(np.sort(wanted))
    if len(set(rounded)) == len(rounded) and abs(rounded).max() <= 127:
        np.testing.assert_array_equal(levels, rounded)
