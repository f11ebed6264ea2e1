"""The only reader and writer of .onnx.

graphsurgeon loses metadata, documentation and node names on a round trip, so this module carries them
across, and it refuses files that lie before anything else sees them.
"""

from __future__ import annotations

import hashlib
import logging
import os
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import onnx
import onnx_graphsurgeon as gs
from google.protobuf.message import DecodeError
from onnx import helper, parser, shape_inference
from onnx_graphsurgeon.util.exception import OnnxGraphSurgeonException

from passes.errors import ModelError
from passes.ir.arity import check_arity
from passes.ir.brain_floats import widen_brain_floats
from passes.ir.check_nodes import check_nodes
from passes.ir.external import load_external_data
from passes.ir.foreign_names import mark_foreign, unmark_foreign
from passes.ir.local_functions import inline_functions
from passes.ir.model import Carried, Model
from passes.ir.node_order import sort_nodes
from passes.ir.ops import DEFAULT_DOMAINS
from passes.ir.shape_claims import drop_wrong_claims
from passes.ir.sparse import make_dense
from passes.ir.tensor_sizes import check_tensors
from passes.ir.text_fields import check_text
from passes.ir.value_types import leave_others_open, other_types, restore_types, type_attributes

if TYPE_CHECKING:
    from passes.ir.mapped import Mapped

MIN_OPSET, MAX_OPSET, MAX_IR = 7, 26, 13
MAX_FILE_BYTES = 2**31
_CONSTANTS_IR, _PLAIN_OPSET = 4, 13

logging.getLogger("onnx_graphsurgeon").setLevel(logging.ERROR)
gs.logger.G_LOGGER.severity = gs.logger.G_LOGGER.ERROR


def read_model(path: str | Path, mapped: Mapped | None = None) -> Model:
    """Read an .onnx file, following external data inside its folder.

    Args:
        path: the file.
        mapped: keeps large constants in their files; without it, all of them are read.

    Raises:
        ModelError: the file is missing, damaged, of an opset outside 7..26, or contradicts itself.
    """
    path = Path(path)
    proto, sha256 = read_proto(path)
    load_external_data(proto, path, mapped=mapped is not None)
    return model_from_proto(proto, str(path), sha256, mapped)


def read_proto(path: Path) -> tuple[onnx.ModelProto, str]:
    """Read a file of any opset without its external data; return its digest, too.

    Raises:
        ModelError: the file is missing, damaged, or its names are no text.
    """
    data = _read_bytes(path)
    proto = _parse(data, path)
    _check_graph(proto, str(path))
    check_text(proto, str(path))
    return proto, hashlib.sha256(data).hexdigest()


def model_from_text(text: str) -> Model:
    """Build a model from ONNX text (the syntax of ``onnx.parser``); for tests and documentation."""
    proto = parser.parse_model(text)
    return model_from_proto(proto, "<text>", hashlib.sha256(proto.SerializeToString()).hexdigest())


def model_from_proto(proto: onnx.ModelProto, path: str, sha256: str, mapped: Mapped | None = None) -> Model:
    """Build a model from a parsed file whose data are all inside it, or mapped.

    Args:
        proto: the parsed model; node names are made unique in place.
        path: where it came from, for messages.
        sha256: digest that plans and artifacts will refer to.
        mapped: keeps the constants that are outside.

    Raises:
        ModelError: unsupported opset, a tensor whose bytes do not fill its shape, functions without end, or
            an invalid graph.
    """
    _check_header(proto, path)
    proto = inline_functions(proto, path)
    check_tensors(proto.graph, path, outside=mapped is not None)
    make_dense(proto.graph, path)
    if mapped is None:
        widen_brain_floats(proto.graph)
    _name_nodes(proto.graph)
    check_arity(proto, path)
    check_nodes(proto.graph, opset_of(proto), path)
    carried = _carry(proto)
    drop_wrong_claims(proto)
    inferred = infer_shapes(proto)
    try:
        graph = gs.import_onnx(inferred)
    except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise ModelError(f"{path}: the graph cannot be read: {error}") from error
    mark_foreign(graph)
    leave_others_open(graph)
    try:
        graph.toposort()
    except OnnxGraphSurgeonException as error:
        raise ModelError(f"{path}: the graph has a cycle") from error
    if mapped is not None:
        mapped.adopt(graph)
    return Model(graph=graph, carried=carried, sha256=sha256, path=path, mapped=mapped)


def to_proto(model: Model) -> onnx.ModelProto:
    """Convert the graph (not the plan) back to a protobuf, with everything that was carried.

    Raises:
        ModelError: an attribute or a constant has no ONNX form, such as a list without a type.
    """
    try:
        with nullcontext() if model.mapped is None else model.mapped.aside(model.graph):
            proto = gs.export_onnx(model.graph, do_type_check=False)
    except (ValueError, TypeError) as error:
        raise ModelError(f"{model.path}: the graph cannot be written: {error}") from error
    unmark_foreign(proto.graph)
    out = _with_header(proto, model.carried.header)
    # Before version 4 constants had to be inputs as well, which they are no longer.
    out.ir_version = max(out.ir_version, _CONSTANTS_IR)
    sort_nodes(out.graph)
    restore_types(out.graph, model.carried.types, model.carried.type_attributes)
    helper.set_model_props(out.graph, model.carried.graph_metadata) if model.carried.graph_metadata else None
    for node in out.graph.node:
        node.doc_string = model.carried.node_docs.get(node.name, "")
        for key, value in model.carried.node_metadata.get(node.name, {}).items():
            node.metadata_props.add(key=key, value=value)
    return out


def _with_header(proto: onnx.ModelProto, header: onnx.ModelProto) -> onnx.ModelProto:
    """Replace all but the graph, which may be too large to copy."""
    for field, _ in proto.ListFields():
        if field.name != "graph":
            proto.ClearField(field.name)
    proto.MergeFrom(header)
    return proto


def write_proto(proto: onnx.ModelProto, path: str | Path) -> None:
    """Write a model so that the file is either the old one or the whole new one."""
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_bytes(proto.SerializeToString(deterministic=True))
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def opset_of(proto: onnx.ModelProto) -> int:
    """Return the version of the default operator domain that the model imports."""
    versions = [entry.version for entry in proto.opset_import if entry.domain in ("", "ai.onnx")]
    return max(versions, default=0)


def infer_shapes(proto: onnx.ModelProto) -> onnx.ModelProto:
    """Add shapes where they can be known; a model that resists inference is used as it is."""
    try:
        return shape_inference.infer_shapes(proto, data_prop=True)
    except (shape_inference.InferenceError, RuntimeError, ValueError):
        return proto


def _read_bytes(path: Path) -> bytes:
    if not path.is_file():
        raise ModelError(f"{path}: no such model file")
    size = path.stat().st_size
    if size == 0 or size >= MAX_FILE_BYTES:
        raise ModelError(f"{path}: expected 1 byte to 2 GB, found {size} bytes; more needs external data")
    try:
        return path.read_bytes()
    except OSError as error:
        raise ModelError(f"{path}: cannot be read: {error.strerror}") from error


def _parse(data: bytes, path: Path) -> onnx.ModelProto:
    proto = onnx.ModelProto()
    try:
        proto.ParseFromString(data)
    except DecodeError as error:
        raise ModelError(f"{path}: not an ONNX model, or a truncated one ({error})") from error
    return proto


def _check_graph(proto: onnx.ModelProto, path: str) -> None:
    if not proto.HasField("graph") or not proto.graph.output:
        raise ModelError(f"{path}: not an ONNX model, or a truncated one (it has no graph with outputs)")


def _check_header(proto: onnx.ModelProto, path: str) -> None:
    _check_graph(proto, path)
    if all(node.domain not in DEFAULT_DOMAINS for node in proto.graph.node) and not opset_of(proto):
        # All operators are of other domains, as in a tree ensemble; passes may add some of ONNX.
        proto.opset_import.add(version=_PLAIN_OPSET)
    opset = opset_of(proto)
    if not MIN_OPSET <= opset <= MAX_OPSET:
        raise ModelError(
            f"{path}: expected an opset from {MIN_OPSET} to {MAX_OPSET}, found {opset}; convert it first"
        )


def _name_nodes(graph: onnx.GraphProto) -> None:
    taken: set[str] = set()
    for index, node in enumerate(graph.node):
        name = node.name or f"{node.op_type}_{index}"
        while name in taken:
            name = f"{name}_{index}"
        node.name = name
        taken.add(name)


def _carry(proto: onnx.ModelProto) -> Carried:
    header = onnx.ModelProto()
    header.CopyFrom(proto)
    header.ClearField("graph")
    return Carried(
        header=header,
        graph_metadata=_props(proto.graph.metadata_props),
        node_docs={node.name: node.doc_string for node in proto.graph.node if node.doc_string},
        node_metadata={
            node.name: _props(node.metadata_props) for node in proto.graph.node if node.metadata_props
        },
        types=other_types(proto.graph),
        type_attributes=type_attributes(proto.graph),
    )


def _props(entries: object) -> dict[str, str]:
    return {entry.key: entry.value for entry in entries}  # type: ignore[attr-defined]
