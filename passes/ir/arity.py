"""Nodes with fewer inputs or outputs than their operator has are refused, before any pass asks for one."""

from __future__ import annotations

import onnx
from onnx import defs

from passes.errors import ModelError


def check_arity(proto: onnx.ModelProto, path: str) -> None:
    """Check the nodes of the main graph that are of ONNX's own domain.

    Args:
        proto: its nodes have names.
        path: where it came from, for messages.

    Raises:
        ModelError: a node has too few inputs or outputs.
    """
    opset = max((entry.version for entry in proto.opset_import if entry.domain in ("", "ai.onnx")), default=1)
    for node in proto.graph.node:
        # What is no text comes out of the parser as bytes.
        known = isinstance(node.op_type, str) and defs.has(node.op_type, opset)
        if node.domain not in ("", "ai.onnx") or not known:
            continue
        schema = defs.get_schema(node.op_type, opset)
        for kind, found, least in (
            ("inputs", len(node.input), schema.min_input),
            ("outputs", len(node.output), schema.min_output),
        ):
            if found < least:
                where = f"{path}: node {node.name} ({node.op_type})"
                raise ModelError(f"{where}: expected at least {least} {kind}, found {found}; export it again")
