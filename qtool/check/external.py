"""The files beside a model in which its tensors lie."""

from __future__ import annotations

from typing import TYPE_CHECKING

from passes.ir.external import tensors_of
from passes.ir.onnx_io import read_proto

if TYPE_CHECKING:
    from pathlib import Path


def external_files(model: Path) -> list[str]:
    """Return their names relative to the folder of the model, sorted; files outside that folder are left out.

    Args:
        model: an .onnx file; the data themselves are not read.

    Raises:
        ModelError: it is no model.
    """
    proto, _ = read_proto(model)
    places = {
        entry.value
        for tensor in tensors_of(proto.graph)
        if tensor.data_location == tensor.EXTERNAL
        for entry in tensor.external_data
        if entry.key == "location"
    }
    folder = model.resolve().parent
    return sorted(place for place in places if place and (folder / place).resolve().is_relative_to(folder))
