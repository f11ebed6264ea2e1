"""The page of wishes names tests that exist."""

from __future__ import annotations

import re
from pathlib import Path


def test_every_wish_names_tests_that_exist(repository: Path) -> None:
    lines = (repository / "docs" / "wishes.md").read_text(encoding="utf-8").splitlines()
    rows = [line for line in lines if re.match(r"\| \d+ \|", line)]
    assert [int(row.split("|")[1]) for row in rows] == list(range(1, 26))
    for row in rows:
        named = re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", row)
        assert named, row
        for file, function in named:
            text = (repository / file).read_text(encoding="utf-8")
            assert f"def {function or 'test_'}" in text, f"{file}::{function}"
