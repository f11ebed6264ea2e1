"""The names that ``import qtool`` promises."""

from __future__ import annotations

import pytest

import qtool


@pytest.mark.parametrize("name", qtool.__all__)
def test_every_promised_name_is_there(name: str) -> None:
    assert getattr(qtool, name) is not None


def test_other_names_are_not() -> None:
    with pytest.raises(AttributeError, match="'qtool' has no attribute 'quantise'"):
        qtool.quantise  # noqa: B018 - looking it up is the test
