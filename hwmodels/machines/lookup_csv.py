"""Parses a CSV file of measurements, one row per layer or shape and pair of precisions."""

from __future__ import annotations

import csv
import io
import math
from dataclasses import fields
from typing import TYPE_CHECKING

from hwmodels.errors import HardwareError, SpecError
from hwmodels.geometry import MAX_RANK
from hwmodels.machines.lookup_shapes import Shape
from hwmodels.rules import KINDS
from hwmodels.spec import MAX_NUMBER, MIN_NUMBER
from hwmodels.types import Precision

if TYPE_CHECKING:
    from collections.abc import Mapping

Key = str | Shape
Entries = dict[Key, dict[Precision, tuple[float, ...]]]
"""Seconds, or seconds and joules, of every layer or shape at every pair."""

PAIR = ("weight_bits", "act_bits")
VALUES = ("latency_s", "energy_j")
SHAPE = tuple(field.name for field in fields(Shape))
OPS = tuple(kind for kind in KINDS if kind != "depthwise")


def parse_csv(data: bytes, where: str, by: str) -> Entries:
    """Return all rows of a file.

    Args:
        data: the whole file, whose columns are ``layer`` or, by shape, the attributes of `Shape` (sizes as
            ``3x3``), then ``weight_bits``, ``act_bits``, ``latency_s`` and possibly ``energy_j``.
        where: machine file and table, for messages.
        by: ``"name"`` or ``"shape"``.

    Raises:
        SpecError: the file is not CSV in UTF-8, a column is missing or unknown, or a row is wrong or double.
    """
    wanted = (*(("layer",) if by == "name" else SHAPE), *PAIR, VALUES[0])
    entries: Entries = {}
    try:
        reader = csv.DictReader(io.StringIO(data.decode("utf-8-sig"), newline=""), strict=True)
        _check_columns(reader.fieldnames or (), wanted, where)
        for number, row in enumerate(reader, start=1):
            _add(entries, row, f"{where}: row {number}")
    except (csv.Error, UnicodeDecodeError) as error:
        raise SpecError(f"{where}: expected CSV in UTF-8, found {str(error)[:120]}") from error
    if not entries:
        raise SpecError(f"{where}: expected at least one row, found none")
    return entries


def _check_columns(found: object, wanted: tuple[str, ...], where: str) -> None:
    columns = list(found) if isinstance(found, list | tuple) else []
    if sorted(columns) not in (sorted(wanted), sorted((*wanted, VALUES[1]))):
        expected = f"the columns {', '.join(wanted)} and possibly {VALUES[1]}, each once"
        raise SpecError(f"{where}: expected {expected}, found {str(columns)[:200]}")


def _add(entries: Entries, row: Mapping[str | None, object], where: str) -> None:
    """Add one row; a short row has ``None`` for values, a long one a key ``None``."""
    texts = {str(name): value for name, value in row.items() if isinstance(value, str)}
    if len(texts) != len(row):
        raise SpecError(f"{where}: expected as many fields as columns, found more or fewer")
    key = texts["layer"] if "layer" in texts else _shape(texts, where)
    try:
        pair = Precision(*(_size(texts, column, where) for column in PAIR))
    except HardwareError as error:
        raise SpecError(f"{where}: {error}") from error
    known = entries.setdefault(key, {})
    if pair in known:
        raise SpecError(f"{where}: expected every layer and pair once, found {key} at {pair} again"[:300])
    known[pair] = tuple(_positive(texts, column, where) for column in VALUES if column in texts)


def _shape(texts: Mapping[str, str], where: str) -> Shape:
    kernel, out_size = (
        tuple(_whole(size, column, where) for size in texts[column].split("x") if texts[column])
        for column in ("kernel", "out_size")
    )
    if texts["op"] not in OPS or max(len(kernel), len(out_size)) > MAX_RANK:
        expected = f"op to be one of {', '.join(OPS)}, with at most {MAX_RANK} sizes per field"
        raise SpecError(f"{where}: expected {expected}, found {str(list(texts.values()))[:120]}")
    sizes = (_size(texts, column, where) for column in ("stride", "in_ch", "out_ch", "groups"))
    return Shape(texts["op"], kernel, out_size, *sizes)


def _size(texts: Mapping[str, str], column: str, where: str) -> int:
    return _whole(texts[column], column, where)


def _whole(text: str, column: str, where: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) <= 18 and int(text) >= 1):
        raise SpecError(f"{where}: {column}: expected a positive whole number, found {text[:60]!r}")
    return int(text)


def _positive(texts: Mapping[str, str], column: str, where: str) -> float:
    try:
        value = float(texts[column])
    except ValueError:
        value = math.nan
    if not MIN_NUMBER <= value <= MAX_NUMBER:
        found = repr(texts[column][:60])
        raise SpecError(f"{where}: {column}: expected a positive number, found {found}")
    return value
