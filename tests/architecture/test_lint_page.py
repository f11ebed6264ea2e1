"""The page of the lint rules is what the rules say now."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from passes.lint.rules import RULES


def test_the_committed_page_is_up_to_date(repository: Path) -> None:
    spec = importlib.util.spec_from_file_location("lint_page", repository / "docs" / "lint_page.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    text = (repository / "docs" / "lint.md").read_text(encoding="utf-8")
    assert text == module.page(), "run python docs/lint_page.py"
    assert all(f"| {rule.code} |" in text for rule in RULES)
