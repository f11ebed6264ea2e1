"""Texts of a protobuf that are none: protobuf hands them out as bytes, and libraries choke on them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from google.protobuf.descriptor import FieldDescriptor

from passes.errors import ModelError

if TYPE_CHECKING:
    import onnx
    from google.protobuf.message import Message

SEPARATOR = "\x1f"
"""The control character that no name of a model has, so that lowering can make names with it."""


def check_text(proto: onnx.ModelProto, path: str) -> None:
    """Refuse a model in which a name or another text is not UTF-8, or has the separator.

    Raises:
        ModelError: naming the field.
    """
    found = _not_text(proto)
    if found:
        raise ModelError(f"{path}: damaged: {found} is no text (UTF-8); export the model again")


def _not_text(message: Message) -> str:
    for field, value in message.ListFields():
        if field.type not in (FieldDescriptor.TYPE_STRING, FieldDescriptor.TYPE_MESSAGE):
            continue
        for part in [value] if isinstance(value, (str, bytes)) or hasattr(value, "ListFields") else value:
            wrong = isinstance(part, bytes) or (isinstance(part, str) and SEPARATOR in part)
            found = field.full_name if wrong else ""
            if not isinstance(part, (str, bytes)):
                found = _not_text(part)
            if found:
                return str(found)
    return ""
