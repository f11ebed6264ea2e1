"""Settings of PyTorch that belong to the whole process, set for a while."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Compute with a number of threads, and the same way every time.

    Args:
        count: threads; 0 leaves their number to PyTorch.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(count or before)
    try:
        with torch.backends.cudnn.flags(deterministic=True, benchmark=False):
            yield
    finally:
        torch.set_num_threads(before)
