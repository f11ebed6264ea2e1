"""Functions that exporters spell out become one operator each, in the opset that has it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from passes.errors import ModelError
from passes.ir.onnx_io import MAX_OPSET, opset_of
from passes.ir.opsets import set_opset
from passes.transform.fuse_gelu import GELU_OPSET, find_gelus, fuse_gelu
from passes.transform.fuse_hard_swish import (
    HARD_SIGMOID_OPSET,
    HARD_SWISH_OPSET,
    find_hard_sigmoids,
    find_hard_swishes,
    fuse_hard_sigmoid,
    fuse_hard_swish,
)
from passes.transform.fuse_layer_norm import (
    LAYER_NORM_OPSET,
    RMS_NORM_OPSET,
    find_layer_norms,
    find_rms_norms,
    fuse_norm,
)
from passes.transform.fuse_spread_norm import find_spread_norms
from passes.transform.fuse_swish import SWISH_OPSET, find_swishes, fuse_swish
from passes.transform.fuse_unit_norm import find_unit_norms

if TYPE_CHECKING:
    import onnx_graphsurgeon as gs

    from passes.ir.model import Model


@dataclass(frozen=True, slots=True)
class Function:
    """A spelling that is recognized.

    Attributes:
        opset: first one with the operator.
        last: last one at which ONNX Runtime runs it; graphs of later ones keep their spelling.
        find: returns every place.
        fuse: puts the operator there.
    """

    opset: int
    find: Callable[[gs.Graph], list[Any]]
    fuse: Callable[[gs.Graph, Any], None]
    last: int = MAX_OPSET


_FUNCTIONS = (
    Function(LAYER_NORM_OPSET, find_layer_norms, fuse_norm),
    Function(LAYER_NORM_OPSET, find_spread_norms, fuse_norm),
    Function(GELU_OPSET, find_gelus, fuse_gelu),
    Function(RMS_NORM_OPSET, find_rms_norms, fuse_norm),
    Function(RMS_NORM_OPSET, find_unit_norms, fuse_norm),
    Function(HARD_SIGMOID_OPSET, find_hard_sigmoids, fuse_hard_sigmoid),
    Function(HARD_SWISH_OPSET, find_hard_swishes, fuse_hard_swish),
    Function(SWISH_OPSET, find_swishes, fuse_swish, SWISH_OPSET),
)


def fuse_functions(model: Model) -> int:
    """Replace every spelling; return how many were replaced.

    The opset is raised only where something is found, and not where the converter cannot do it.
    """
    return sum([_fuse(model, function) for function in _FUNCTIONS])


def _fuse(model: Model, function: Function) -> int:
    if opset_of(model.carried.header) > function.last or not function.find(model.graph):
        return 0
    model.graph.cleanup().toposort()
    try:
        set_opset(model, function.opset)
    except ModelError:
        return 0
    # The converter leaves what used to be attributes as Constant nodes.
    model.graph.fold_constants(flatten_subgraphs=False)
    found = function.find(model.graph)
    for place in found:
        function.fuse(model.graph, place)
    model.graph.cleanup().toposort()
    return len(found)
