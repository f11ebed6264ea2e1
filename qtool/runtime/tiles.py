"""Cuts arrays into tiles that stay in a core's cache while several numpy operations pass over them."""

from __future__ import annotations

from itertools import product
from math import prod
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from qtool.runtime.node import Array

TILE_ELEMENTS = 1 << 15

Tile = tuple[slice, ...]


def tiles(shape: tuple[int, ...], limit: int = TILE_ELEMENTS) -> Iterator[Tile]:
    """Yield index tuples that cover an array of this shape once, each of about `limit` elements at most.

    Only leading axes are cut, so that a tile is as contiguous as the array. A scalar has one empty tile.
    """
    axis = 0
    while axis < len(shape) and prod(shape[axis + 1 :]) > limit:
        axis += 1
    if axis == len(shape):
        yield ()
        return
    step = max(1, limit // max(1, prod(shape[axis + 1 :])))
    leading = [[slice(index, index + 1) for index in range(extent)] for extent in shape[:axis]]
    cut = [slice(start, start + step) for start in range(0, shape[axis], step)]
    yield from product(*leading, cut)


def part(parameter: Array, tile: Tile) -> Array:
    """Return what a tile needs of a parameter that has as many axes as the tiled array, some of extent 1."""
    pairs = zip(tile, parameter.shape, strict=False)
    return parameter[tuple(slice(None) if extent == 1 else cut for cut, extent in pairs)]
