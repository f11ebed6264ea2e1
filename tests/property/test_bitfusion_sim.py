"""The bounded search of the simulated BitFusion finds what trying everything, one by one, finds."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import permutations, product

from hypothesis import given, settings
from hypothesis import strategies as st

from hwmodels import Precision, Workload, load_target

HALVES = {"weights": 65536 * 4, "inputs": 32768 * 4, "outputs": 16384 * 4}
INDEXES = {"weights": "io", "inputs": "yxi", "outputs": "yxo"}


@dataclass(frozen=True)
class Layer:
    kernel: int
    size: int
    stride: int
    inputs: int
    outputs: int

    def fastest(self, weight_bits: int, act_bits: int) -> float:
        """Try every tile and order; narrower operands may run wider."""
        wider = product(range(weight_bits, 9), range(act_bits, 9))
        return min(cycles for pair in wider for cycles in self.tried(*pair))

    def tried(self, weight_bits: int, act_bits: int) -> Iterator[float]:
        lanes = 16 * (8 // weight_bits) * (8 // act_bits)
        for size, inputs, outputs in product(
            powers(1, self.size), powers(1, self.inputs), powers(32, self.outputs)
        ):
            stripes = math.ceil(outputs / 32)
            tiles = {
                "weights": math.ceil(self.kernel**2 * inputs / lanes) * lanes * outputs * weight_bits,
                "inputs": (self.kernel + (size - 1) * self.stride) ** 2 * inputs * act_bits,
                "outputs": size**2 * stripes * 32 * 32,
            }
            if all(tiles[name] <= half for name, half in HALVES.items()):
                side = math.ceil(self.size / size)
                counts = {
                    "y": side,
                    "x": side,
                    "i": math.ceil(self.inputs / inputs),
                    "o": math.ceil(self.outputs / outputs),
                }
                compute = stripes * size**2 * self.kernel**2 * math.ceil(inputs / lanes)
                yield from timed(tiles, counts, compute * math.prod(counts.values()))


def timed(tiles: dict[str, int], counts: dict[str, int], compute: int) -> Iterator[float]:
    for order in permutations(counts):
        moved, kept = 0, 0
        for name, tile in tiles.items():
            bits, most = tile, tile
            inside = tile
            for loop in order:
                if loop in INDEXES[name]:
                    inside *= counts[loop]
                    bits *= counts[loop]
                    most = inside if inside <= HALVES[name] else most
                elif inside > HALVES[name]:
                    bits *= counts[loop]
            ways = 2 if name == "outputs" else 1
            moved, kept = moved + ways * bits, kept + ways * most
        yield max(compute + kept / 192, moved / 192)


def powers(first: int, whole: int) -> list[int]:
    sizes = [first]
    while sizes[-1] < whole:
        sizes.append(2 * sizes[-1])
    return [min(size, whole) for size in sizes]


LAYERS = st.builds(
    Layer,
    kernel=st.sampled_from((1, 3, 5, 7)),
    size=st.integers(1, 30),
    stride=st.integers(1, 2),
    inputs=st.integers(1, 300),
    outputs=st.integers(1, 300),
)


@given(layer=LAYERS, weight_bits=st.integers(4, 8), act_bits=st.integers(6, 8))
@settings(max_examples=25)
def test_the_bounded_search_finds_what_trying_everything_finds(
    layer: Layer, weight_bits: int, act_bits: int
) -> None:
    channels, kernel, size = (layer.inputs, layer.outputs), (layer.kernel,) * 2, (layer.size,) * 2
    work = Workload.conv("layer", channels, kernel, size, stride=layer.stride)
    found = load_target("bitfusion-sim").cost(work, Precision(weight_bits, act_bits)).cycles
    assert found == math.ceil(layer.fastest(weight_bits, act_bits) - 1e-9)
