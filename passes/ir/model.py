"""`Model`: what every pass works on."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from passes.ir.plan import QuantPlan

if TYPE_CHECKING:
    import onnx
    import onnx_graphsurgeon as gs

    from passes.ir.mapped import Mapped


@dataclass(slots=True)
class Carried:
    """What graphsurgeon drops on the way through, kept here and written back.

    Attributes:
        header: the model without its graph: versions, producer, metadata, functions.
        graph_metadata: metadata properties of the graph.
        node_docs: documentation string of each node, by unique node name.
        node_metadata: metadata properties of each node, by unique node name.
        types: types of those inputs and outputs that are no tensors, nested graphs included, by name.
        type_attributes: attributes of nodes that are types, by the node's first result.
    """

    header: onnx.ModelProto
    graph_metadata: dict[str, str] = field(default_factory=dict)
    node_docs: dict[str, str] = field(default_factory=dict)
    node_metadata: dict[str, dict[str, str]] = field(default_factory=dict)
    types: dict[str, onnx.TypeProto] = field(default_factory=dict)
    type_attributes: dict[str, onnx.AttributeProto] = field(default_factory=dict)


@dataclass(slots=True)
class Model:
    """A graph, the quantization decided for it, and where it came from.

    Decisions live in the plan, beside the graph: a search over plans never touches the graph.

    Attributes:
        graph: the graphsurgeon graph; nodes are in topological order and have unique names.
        carried: the parts of the file that the graph does not hold.
        sha256: digest of the file's bytes, in hexadecimal; plans and artifacts refer to it.
        path: the file the model was read from, for messages; empty for a model built in memory.
        plan: precision and parameters of every quantized tensor.
        mapped: keeps large constants in files; ``None`` where all are in memory.
    """

    graph: gs.Graph
    carried: Carried
    sha256: str
    path: str = ""
    plan: QuantPlan = field(default_factory=QuantPlan)
    mapped: Mapped | None = None
