from __future__ import annotations

import pytest

from hwmodels import HardwareError, LiveTensor, Schedule, Step

A, B, C, D = (
    LiveTensor(name, elements, 8) for name, elements in (("a", 100), ("b", 50), ("c", 30), ("d", 60))
)
CHAIN = (Step(("a",), ("b",)), Step(("b",), ("c",)), Step(("c",), ("d",)))


def test_a_chain_holds_two_tensors_at_a_time() -> None:
    assert Schedule((A, B, C, D), CHAIN, ("d",)).peak_bytes() == 150


def test_a_skip_connection_keeps_its_source_alive() -> None:
    steps = (*CHAIN[:2], Step(("c", "a"), ("d",)))
    assert Schedule((A, B, C, D), steps, ("d",)).peak_bytes() == 100 + 30 + 60


def test_an_output_stays_alive_to_the_end() -> None:
    assert Schedule((A, B, C, D), CHAIN, ("b", "d")).peak_bytes() == 150
    assert Schedule((B, C, D), (Step(("b",), ("c",)), Step(("c",), ("d",))), ("b", "d")).peak_bytes() == 140


def test_a_tensor_that_nobody_reads_still_takes_room() -> None:
    assert Schedule((A, B), (Step(("a",), ("b",)),)).peak_bytes() == 150


def test_other_widths_change_the_peak() -> None:
    schedule = Schedule((A, B, C, D), CHAIN, ("d",))
    assert schedule.with_bits({"a": 4}).peak_bytes() == 100
    assert schedule.with_bits({"a": 2, "b": 1}).peak_bytes() == 90
    assert LiveTensor("odd", 3, 3).size_bytes == 2


def test_without_steps_nothing_is_alive() -> None:
    assert Schedule((A,), ()).peak_bytes() == 0


@pytest.mark.parametrize(
    ("tensors", "steps", "outputs", "message"),
    [
        ((A, A), (), (), "same name"),
        ((A,), (Step(("a",), ("b",)),), (), "'b'"),
        ((A,), (), ("z",), "'z'"),
        ((A, B, C), (Step(("b",), ("c",)), Step(("a",), ("b",))), (), "before it is written"),
        ((A,), (Step(("a",), ("a",)),), (), "before it is written"),
    ],
)
def test_a_schedule_that_cannot_run_is_refused(tensors, steps, outputs, message) -> None:
    with pytest.raises(HardwareError, match=message):
        Schedule(tensors, steps, outputs)


@pytest.mark.parametrize(("elements", "bits"), [(0, 8), (4, 0), (4, 64), (1.5, 8)])
def test_a_tensor_without_a_size_is_refused(elements, bits) -> None:
    with pytest.raises(HardwareError, match="tensor 'x'"):
        LiveTensor("x", elements, bits)
