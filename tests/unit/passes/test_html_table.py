"""Tables for notebooks."""

from __future__ import annotations

from passes.html_table import SHOWN, html_table


def test_text_is_escaped_and_numbers_are_short() -> None:
    text = html_table("<b>", ("x&y",), [("<script>alert(1)</script>", 0.123456789, None, float("nan"))])
    assert "<script>" not in text
    assert "<caption>&lt;b&gt;</caption>" in text
    assert "<td>0.12346</td><td>-</td><td>-</td>" in text


def test_long_tables_say_what_is_left_out() -> None:
    text = html_table("", ("n",), [(str(n),) for n in range(SHOWN + 7)])
    assert text.count("<tr>") == SHOWN + 2
    assert "and 7 more" in text
