"""Reads QONNX Quant nodes."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from passes.interchange.activations import Found
    from passes.interchange.network import Network


def expand_quant_nodes(network: Network, found: Found) -> None:
    """placeholder"""
