"""Measurements as arrays: what each layer takes at each supported pair, known or interpolated."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from hwmodels.errors import SpecError, UnsupportedError
from hwmodels.machines.lookup_shapes import Shape

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hwmodels.arrays import Floats
    from hwmodels.machines.lookup_csv import Entries, Key
    from hwmodels.types import Precision
    from hwmodels.workload import Workload


@dataclass(frozen=True, eq=False)
class LookupTable:
    """A table without holes.

    Attributes:
        keys: where each layer or shape stands along the first axis of ``values``.
        values: seconds, then joules where they were measured: shape (keys, pairs, 1 or 2).
    """

    keys: Mapping[Key, int]
    values: Floats

    @classmethod
    def of(cls, entries: Entries, pairs: Sequence[Precision], where: str) -> LookupTable:
        """Lay rows out as an array.

        Args:
            entries: all measurements.
            pairs: the supported pairs, all of which every layer must have, and no other.
            where: machine file and table, for messages.

        Raises:
            SpecError: a layer lacks a pair or has one that is not supported.
        """
        for key, known in entries.items():
            for pair in sorted(known.keys() ^ set(pairs)):
                there = "a row" if pair in known else "none"
                need = "no row, since [arithmetic] does not list it" if pair in known else "a row"
                raise SpecError(f"{where}: {key} at {pair}: expected {need}, found {there}"[:400])
        values = [[known[pair] for pair in pairs] for known in entries.values()]
        return cls({key: at for at, key in enumerate(entries)}, np.array(values, dtype=np.float64))

    def check(self, work: Workload, where: str) -> None:
        """Refuse a layer that `row` knows nothing about.

        Raises:
            UnsupportedError: the layer, or by shape its kind, was not measured.
        """
        if work.name in self.keys or Shape.of(work).kind in self._curves:
            return
        known = ", ".join(str(key) for key in (*self._curves, *self.keys) if isinstance(key, str))
        raise UnsupportedError(f"{where}: layer {work.name!r} was not measured; known are {known[:200]}")

    def row(self, work: Workload) -> Floats:
        """Return what a layer takes: shape (pairs, 1 or 2); `check` accepts it."""
        if work.name in self.keys:
            named: Floats = self.values[self.keys[work.name]]
            return named
        shape = Shape.of(work)
        at = self.keys.get(shape)
        image: Floats = self._interpolated(shape) if at is None else self.values[at]
        return work.batch * image

    def _interpolated(self, shape: Shape) -> Floats:
        """Between two shapes of its kind along a line of logarithms; beyond them in proportion to MACs."""
        macs, logs = self._curves[shape.kind]
        own = np.log(shape.macs)
        inside = np.clip(own, macs[0], macs[-1])
        right = int(np.clip(np.searchsorted(macs, inside), 1, max(len(macs) - 1, 1)))
        left, right = right - 1, min(right, len(macs) - 1)
        width = macs[right] - macs[left]
        share = (inside - macs[left]) / width if width else 0.0
        found: Floats = np.exp(logs[left] + share * (logs[right] - logs[left]) + own - inside)
        return found

    @cached_property
    def _curves(self) -> dict[str, tuple[Floats, Floats]]:
        """Per kind, rising logarithms of MACs and of values; shapes of equal MACs are averaged there."""
        curves = {}
        shapes = [(shape, at) for shape, at in self.keys.items() if isinstance(shape, Shape)]
        for kind in sorted({shape.kind for shape, _ in shapes}):
            rows = [(shape.macs, at) for shape, at in shapes if shape.kind == kind]
            macs, which = np.unique([it[0] for it in rows], return_inverse=True)
            logs = np.log(self.values[[it[1] for it in rows]])
            means = [logs[which == index].mean(axis=0) for index in range(len(macs))]
            curves[kind] = (np.log(macs), np.stack(means))
        return curves
