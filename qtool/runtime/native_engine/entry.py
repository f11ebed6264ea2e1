"""Codes of the inputs of a program, written to where its first step reads them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from qtool.runtime.boundary import to_codes

if TYPE_CHECKING:
    from qtool.runtime.native_engine.stored import Stored
    from qtool.runtime.node import Array


def enter(x: Array, stored: Stored) -> None:
    """Quantize an input as `qtool.runtime.boundary.to_codes` does, at once where possible."""
    form = stored.storage
    if not (form.is_bytes and x.dtype == np.float32 and x.size):
        stored.write(to_codes(x, form.info))
        return
    from qtool.runtime.native._kernels import quantize

    images, channels = (len(x), x.shape[1]) if form.channels_last else (1, 1)
    values = np.ascontiguousarray(x).reshape(images, channels, -1)
    out = stored.memory.reshape(images, -1, channels)
    quantize(values, form.info.scale, form.zero, 0, form.info.qmax - form.info.qmin, out)
