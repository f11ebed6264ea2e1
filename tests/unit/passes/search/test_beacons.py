"""Plans borrow codes and biases from the nearest refined plan."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from hwmodels import Precision
from passes.execution.ranges import weight_params
from passes.ir.model import Model
from passes.ir.plan import QuantPlan
from passes.ir.setup import QuantizerSetup, quantizer_setup
from passes.ir.specs import plan_of_bits
from passes.numerics import QuantParams, quantize
from passes.search.beacons import Beacons, distance

LAYERS = ("first", "second")


@pytest.fixture
def setup(model: Model) -> QuantizerSetup:
    """A Gemm and a MatMul."""
    return quantizer_setup(model.graph)


def plan_of(setup: QuantizerSetup, *bits: int) -> QuantPlan:
    """Return a plan with scales."""
    plan = plan_of_bits(setup, {name: Precision(b, 8) for name, b in zip(LAYERS, bits, strict=True)})
    tensors = {
        name: quant.with_params(QuantParams(np.float32(0.01), np.int32(0)))
        for name, quant in plan.tensors.items()
    }
    for layer in setup.layers:
        quant = plan.tensors[layer.weight_name]
        tensors[layer.weight_name] = quant.with_params(weight_params(layer.weight_values(), quant.spec))
    return replace(plan, tensors=tensors)


def refined(setup: QuantizerSetup, *bits: int) -> QuantPlan:
    """Return a plan with codes of its own, and a bias."""
    plan = plan_of(setup, *bits)
    tensors = dict(plan.tensors)
    for layer in setup.layers:
        quant = tensors[layer.weight_name]
        codes = quantize(layer.weight_values(), quant.spec, quant.params)
        tensors[layer.weight_name] = quant.with_codes(quant.params, np.zeros_like(codes, np.int16))
    return replace(plan, tensors=tensors, biases={"first": (0.5, 0.25)})


def lent(found: QuantPlan, setup: QuantizerSetup) -> set[str]:
    return {layer.name for layer in setup.layers if found.tensors[layer.weight_name].codes is not None}


def test_weights_of_the_same_bits_are_lent_with_their_bias(setup: QuantizerSetup) -> None:
    found = Beacons((refined(setup, 4, 4),)).lend(plan_of(setup, 4, 3), setup)
    assert lent(found, setup) == {"first"}
    assert found.biases == {"first": (0.5, 0.25)}
    assert found.layers == plan_of(setup, 4, 3).layers


def test_the_nearest_beacon_lends(setup: QuantizerSetup) -> None:
    beacons = Beacons((refined(setup, 8, 4), refined(setup, 4, 4)))
    assert lent(beacons.lend(plan_of(setup, 8, 5), setup), setup) == {"first"}
    assert lent(beacons.lend(plan_of(setup, 5, 4), setup), setup) == {"second"}


def test_an_activation_follows_when_all_its_readers_borrow(setup: QuantizerSetup) -> None:
    plan, near = plan_of(setup, 4, 4), refined(setup, 4, 3)
    trained = QuantParams(np.float32(0.02), np.int32(0))
    tensors = {
        name: quant.with_params(trained) if name in {it.name for it in setup.groups} else quant
        for name, quant in near.tensors.items()
    }
    found = Beacons((replace(near, tensors=tensors),)).lend(plan, setup)
    first, second = setup.layers
    assert found.tensors[first.act.name].params == trained
    assert found.tensors[second.act.name].params == plan.tensors[second.act.name].params


@pytest.mark.parametrize("beacons", [0, 1])
def test_a_plan_far_from_all_beacons_stays(beacons: int, setup: QuantizerSetup) -> None:
    plan = plan_of(setup, 4, 8)
    assert Beacons((refined(setup, 4, 3),) * beacons).lend(plan, setup) is plan


def test_a_scale_that_the_bias_does_not_fit_is_not_lent(setup: QuantizerSetup) -> None:
    beacon, name = refined(setup, 4, 4), setup.layers[0].weight_name
    quant = beacon.tensors[name]
    tiny = QuantParams(np.full_like(quant.params.scale, 1e-12), quant.params.zero_point)
    small = replace(beacon, tensors=dict(beacon.tensors) | {name: quant.with_codes(tiny, quant.codes)})
    assert lent(Beacons((small,)).lend(plan_of(setup, 4, 4), setup), setup) == {"second"}


def test_what_is_lent_makes_the_digest(setup: QuantizerSetup) -> None:
    one, other = Beacons((refined(setup, 4, 4),)), Beacons((refined(setup, 4, 3),))
    biased = Beacons((replace(refined(setup, 4, 4), biases={"first": (0.5, 0.5)}),))
    digests = {it.digest() for it in (Beacons(), one, other, biased, replace(one, reach=2.0))}
    assert len(digests) == 5
    assert one.digest() == Beacons((refined(setup, 4, 4),)).digest()


def test_the_distance_is_the_mean_difference_of_bits(setup: QuantizerSetup) -> None:
    assert distance(plan_of(setup, 4, 8), plan_of(setup, 3, 4)) == 2.5
