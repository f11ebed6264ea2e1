"""Digests of samples: what tells one data set from another."""

from __future__ import annotations

import hashlib
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from passes.execution.dataset import Dataset

BATCH = 64
"""Samples that are read at a time."""


def digest_of(data: Dataset, batches: int | None = None) -> str:
    """Return the digest of samples as a model reads them: of all, or of the first batches."""
    digest = hashlib.sha256()
    for feeds in islice(data.batches(BATCH), batches):
        for name, array in sorted(feeds.items()):
            digest.update(f"{name} {array.dtype} {array.shape}".encode())
            digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def samples_digest(data: Dataset) -> str:
    """Return what tells one set of samples to learn from apart from another: count, a few of them, labels."""
    labels = "" if data.labels is None else hashlib.sha256(data.labels.tobytes()).hexdigest()
    return f"{data.count} {digest_of(data, 1)} {labels}"
