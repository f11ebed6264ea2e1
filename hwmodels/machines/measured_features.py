"""What the time of a measured layer is made of: the counts of a loop nest, and the kernel that runs it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from hwmodels.arrays import Floats, LayerArrays
    from hwmodels.workload import Workload

KERNELS = ("dense", "pointwise", "shallow", "depthwise", "grouped", "gemm", "product")
"""Routines that libraries tell apart: convolutions, then products with stored and with computed weights."""

FEATURES = (
    *("per_layer_s", "per_group_s", "per_row_s", "per_column_s"),
    *("per_mac_s", "per_padded_mac_s", "per_ragged_mac_s"),
    *("per_input_s", "per_gathered_s", "per_weight_s", "per_output_s"),
)
"""Coefficients of a kernel, in seconds per count of `features`, in its order."""

SHALLOW_CHANNELS = 4
"""A convolution of so few input channels, such as the first of a network, has a routine of its own."""

LANES = 16
"""Channels that kernels handle together; the rest of them takes as long as a full round, or longer."""


def kernel_of(work: Workload) -> str:
    """Return the member of `KERNELS` that runs a layer; ConvTranspose and Recurrent are not measured."""
    if work.op != "Conv":
        return "product" if work.rhs_elements else "gemm"
    if work.groups > 1:
        return "depthwise" if work.depthwise else "grouped"
    if work.taps == 1:
        return "pointwise"
    return "shallow" if work.in_channels <= SHALLOW_CHANNELS else "dense"


def kind_of_kernel(kernel: str) -> str:
    """Return the kind of layer, out of `rules.KINDS`, whose pairs a kernel must offer."""
    return {"depthwise": "depthwise", "gemm": "Gemm", "product": "MatMul"}.get(kernel, "Conv")


def features(layers: LayerArrays) -> Floats:
    """Count what a layer does, as ``groups`` products of ``rows`` x ``depth`` by ``depth`` x ``columns``.

    With every loop having a start-up cost, the time of the nest is (rows + a) * (columns + b) * (depth + c)
    per group: MACs, elements gathered (rows x depth), weights and outputs, rows and columns, each at a rate.
    The lanes of a depthwise kernel are its groups, of all others the columns.

    Returns:
        Shape (features, layers, 1), in the order of `FEATURES`.
    """
    batch = np.where(layers.rhs_elements > 0, layers.batch, 1.0)
    rows, groups = layers.rows / batch, layers.groups * batch
    lanes = np.where(layers.depthwise > 0, groups, layers.columns)
    padding = np.ceil(lanes / LANES) * LANES / lanes
    macs = layers.macs
    counts = (
        *(np.ones_like(macs), groups, groups * rows, groups * layers.columns),
        *(macs, macs * padding, macs * (lanes % LANES) / lanes),
        *(layers.in_elements, groups * rows * layers.depth),
        *(groups * layers.depth * layers.columns, groups * rows * layers.columns),
    )
    return np.stack(counts)
