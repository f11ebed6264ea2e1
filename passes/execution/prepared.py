"""Sessions that take a plan as an input: one serves every plan whose lowering has the same nodes.

At its exact level ONNX Runtime computes the same whether the codes of a weight, a scale or the bounds of a
Clip are constants or inputs. So the lowered model is split into its nodes, which make the session, and
everything that depends on the plan, which is fed. Plans of at most 8 bits all have the same nodes.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Any

import onnx
from onnx import helper, numpy_helper

from passes.execution.session import Level, Session
from passes.lowering.encoding import Form
from passes.lowering.qdq import emit_unsaturated

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from passes.ir.model import Model
    from passes.ir.setup import QuantizerSetup

MAX_SESSIONS = 4
"""Sessions kept at a time: one for plans of at most 8 bits, and some for wider and partly float ones."""


class PreparedSessions:
    """Runs plans of one model at the exact level, building a session only for nodes never seen before."""

    def __init__(self, threads: int = 0) -> None:
        """Prepare nothing yet; `threads` of 0 leaves their number to ONNX Runtime."""
        self._threads = threads
        self._sessions: OrderedDict[bytes, Session] = OrderedDict()
        self.built = 0

    def open(
        self, model: Model, setup: QuantizerSetup, base: onnx.ModelProto
    ) -> tuple[Session, dict[str, NDArray[Any]]]:
        """Return the session for a plan, and what to feed beside the data.

        Args:
            model: graph and plan, with scales.
            setup: the part of the graph that the plan quantizes.
            base: the float model, or what of it every lowering keeps.

        Raises:
            LoweringError: the plan cannot be lowered.
            ModelError: ONNX Runtime refuses the model.
        """
        lowered = emit_unsaturated(model, setup, Form.QCDQ, base, alike=True)
        proto, feeds = promote(lowered, {init.name for init in base.graph.initializer})
        key = _nodes_of(proto)
        if key not in self._sessions:
            self._sessions[key] = Session(proto, Level.BASIC, self._threads)
            self.built += 1
            if len(self._sessions) > MAX_SESSIONS:
                self._sessions.popitem(last=False)
        self._sessions.move_to_end(key)
        return self._sessions[key], feeds


def promote(proto: onnx.ModelProto, constants: set[str]) -> tuple[onnx.ModelProto, dict[str, NDArray[Any]]]:
    """Turn constants into inputs.

    Args:
        proto: a model; it is changed.
        constants: names of those that stay.

    Returns:
        The model, and the values of its new inputs.
    """
    kept, feeds = [], {}
    for init in proto.graph.initializer:
        if init.name in constants:
            kept.append(onnx.TensorProto.FromString(init.SerializeToString()))
            continue
        feeds[init.name] = numpy_helper.to_array(init)
        proto.graph.input.append(helper.make_tensor_value_info(init.name, init.data_type, list(init.dims)))
    del proto.graph.initializer[:]
    proto.graph.initializer.extend(kept)
    return proto, feeds


def _nodes_of(proto: onnx.ModelProto) -> bytes:
    """Return what tells one session from another: the graph without its constants, which are all alike."""
    rest = onnx.GraphProto(node=proto.graph.node, input=proto.graph.input, output=proto.graph.output)
    names = "\0".join(init.name for init in proto.graph.initializer)
    versions: Mapping[str, int] = {entry.domain: entry.version for entry in proto.opset_import}
    nodes: bytes = rest.SerializeToString(deterministic=True)
    return nodes + f"{names}{versions}".encode()
