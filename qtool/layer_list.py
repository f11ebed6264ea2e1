"""Layer lists: ``layer,kernel,out_size,stride,in_ch,out_ch[,groups]`` as CSV, for pricing without a model."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING

from hwmodels import HardwareError, Workload
from passes.errors import DataError

if TYPE_CHECKING:
    from pathlib import Path

COLUMNS = ("layer", "kernel", "out_size", "stride", "in_ch", "out_ch")
MAX_BYTES = 1 << 24


def read_layers(path: Path, batch: int = 1) -> tuple[Workload, ...]:
    """Read a layer list.

    Args:
        path: the file; every row is a square convolution, or with ``kernel`` and ``out_size`` 1 a fully
            connected layer.
        batch: images.

    Raises:
        DataError: the file cannot be read, lacks a column, has no rows, or a row is no layer; names the line.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise DataError(f"{path}: expected a layer list of at most {MAX_BYTES} bytes")
        with path.open(newline="", encoding="utf-8") as stream:
            rows = csv.DictReader(stream)
            _check_columns(path, rows.fieldnames or ())
            layers = tuple(_layer(row, batch, f"{path}, line {rows.line_num}") for row in rows)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: cannot be read as a layer list: {error}") from error
    if not layers:
        raise DataError(f"{path}: holds no layers")
    return layers


def _check_columns(path: Path, found: object) -> None:
    names = tuple(str(name) for name in found) if isinstance(found, list | tuple) else ()
    if not set(COLUMNS) <= set(names) or set(names) - {*COLUMNS, "groups"}:
        expected = f"the columns {','.join(COLUMNS)} and optionally groups"
        raise DataError(f"{path}: expected {expected}, found {','.join(names)[:200] or 'nothing'}")


def _layer(row: dict[str, str], batch: int, where: str) -> Workload:
    # The key of the fields beyond the last column.
    if None in row:
        raise DataError(f"{where}: not a layer: more fields than columns")
    try:
        kernel, size, stride, inputs, outputs = (int(row[column]) for column in COLUMNS[1:])
        groups = int(row.get("groups") or 1)
        if kernel == size == groups == 1:
            return Workload.gemm(row["layer"], batch, inputs, outputs)
        shape = (inputs, outputs), (kernel, kernel), (size, size)
        return Workload.conv(row["layer"], *shape, stride=stride, batch=batch, groups=groups)
    except (TypeError, ValueError, HardwareError) as error:
        raise DataError(f"{where}: not a layer: {error}") from error
