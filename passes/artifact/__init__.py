"""The packed artifact (.qpk): an integer program with bit-packed weights, and its file."""

from passes.artifact.ops import OPS, Family, OpSpec
from passes.artifact.program import Artifact
from passes.artifact.step import Attr, Step
from passes.artifact.tensor import TensorInfo
from passes.artifact.weight import PackedWeight, WeightLayout

__all__ = [
    "OPS",
    "Artifact",
    "Attr",
    "Family",
    "OpSpec",
    "PackedWeight",
    "Step",
    "TensorInfo",
    "WeightLayout",
]
