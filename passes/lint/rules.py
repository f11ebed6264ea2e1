"""The rules there are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from passes.lint.arithmetic import ARITHMETIC
from passes.lint.fusion import FUSION
from passes.lint.loading import LOADING
from passes.lint.speed import SPEED
from passes.lint.support import SUPPORT

if TYPE_CHECKING:
    from passes.lint.finding import Rule

RULES: tuple[Rule, ...] = (*SUPPORT, *LOADING, *ARITHMETIC, *FUSION, *SPEED)
"""In the order of their codes."""
