"""What `benchmarks/training.py` measures: networks, and the plans that are fine-tuned, by claim."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PREPARED = "canonicalize,fold-batchnorm,equalize"
ROUNDED = "assign-scales,gptq,bias-correction"
VARIED = "mirror shift=2"
PREPROCESS = "mean=0.485,0.456,0.406 std=0.229,0.224,0.225"
COMPACT = "max-size=0.5x max-bops=0.25x"
"""What uniform 4 bits take."""


@dataclass(frozen=True)
class Run:
    """A plan to make and to fine-tune.

    Attributes:
        claim: what it is for.
        network: on CIFAR-10.
        target: machine.
        bits: options of `allocate`, or a pass that learns bits, with ``{steps}`` in it.
    """

    claim: str
    network: str
    target: str
    bits: str

    @property
    def key(self) -> str:
        """Name that tells it from others."""
        return f"{self.claim}: {self.network} on {self.target}, {self.bits.replace('{steps} ', '')}"

    def pipeline(self, steps: int) -> str:
        """Return the passes in front of fine-tuning."""
        if self.bits.split("{")[0] not in ("ddq", "amed", "bsq", "msq"):
            return f"{PREPARED},allocate{{{self.bits}}},{ROUNDED}"
        learned = self.bits.replace("{steps}", f"steps={steps} {VARIED}")
        return f"{PREPARED},allocate{{uniform=w8a8}},assign-scales,{learned},{ROUNDED}"


def networks(data: Path, compact: Path) -> dict[str, Path]:
    """Return the models by name; `compact` is what `benchmarks/mobilenet_cifar.py` wrote."""
    return {"resnet20": data / "models" / "resnet20_cifar10_jpegft.onnx", "mobilenet": compact}


def runs() -> Iterator[Run]:
    """Yield everything, claim by claim."""
    for limit in ("max-size=0.285x", "max-size=0.4x"):
        yield Run("size", "resnet20", "generic", limit)
    for network, bits in product(
        ("resnet20", "mobilenet"), ("uniform=w4a4", COMPACT, f"ddq{{{{steps}} {COMPACT}}}")
    ):
        yield Run("lossless 4/4", network, "generic", bits)
    for target, bits in product(("bitfusion", "eyeriss"), ("8", "4", "3", "2")):
        yield Run("equal latency", "resnet20", target, f"uniform=w{bits}a{bits}")
    # The latencies of uniform 4 bits, of 3 on eyeriss, and one below on bitfusion, where 3 bits run as 4.
    for target, limit in (
        ("bitfusion", 0.3231),
        ("bitfusion", 0.2),
        ("eyeriss", 0.5864),
        ("eyeriss", 0.4384),
    ):
        yield Run("equal latency", "resnet20", target, f"max-latency={limit}x")
    for target, beta in product(("bitfusion", "eyeriss"), (4, 16)):
        walk = f"amed{{{{steps}} metric=latency beta={beta} moving=0.2 held=256 every=8}}"
        yield Run("equal latency", "resnet20", target, walk)
    for target, limit in (
        ("bismo-edge", "max-latency=0.588x"),
        ("bitfusion", "max-latency=0.588x"),
        ("bitfusion", "max-energy=0.526x"),
    ):
        yield Run("haq", "mobilenet", target, limit)
