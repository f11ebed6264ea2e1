"""The text form of pipelines: what is read, what is printed, what is refused and where."""

from __future__ import annotations

import pytest

from passes.errors import PassContractError, UsageError
from passes.lowering.encoding import Form
from passes.lowering.lower import Lower
from passes.numerics import RangeMethod
from passes.options import options_of, read_option, write_option
from passes.pipeline import parse, to_text
from passes.transform.assign_scales import AssignScales
from passes.transform.canonicalize import Canonicalize
from passes.transform.equalize import Equalize


def test_a_pipeline_is_read_in_order() -> None:
    found = parse("canonicalize,equalize{iterations=5 limit=2.5},lower{to=qcdq}")
    assert found == (Canonicalize(), Equalize(iterations=5, limit=2.5), Lower(to=Form.QCDQ))


def test_blanks_are_free() -> None:
    assert parse(" canonicalize ,\n lower { to=qdq } ") == (Canonicalize(), Lower())


@pytest.mark.parametrize("text", ["", "  "])
def test_no_text_is_no_pass(text: str) -> None:
    assert parse(text) == ()
    assert to_text(()) == ""


def test_only_what_differs_from_the_defaults_is_printed() -> None:
    passes = (AssignScales(), AssignScales(method=RangeMethod.KL, percentile=99.5), Lower(Form.QDQ))
    assert to_text(passes) == "assign-scales,assign-scales{method=kl percentile=99.5},lower"


@pytest.mark.parametrize(
    ("text", "position", "message"),
    [
        ("canonicalise", 1, "did you mean canonicalize"),
        ("canonicalize,lowerr", 14, "did you mean lower"),
        ("canonicalize,", 14, "expected the name of a pass, found the end"),
        ("canonicalize lower", 14, "expected a comma or the end, found 'lower'"),
        ("equalize{iteration=3}", 10, "unknown option of pass equalize 'iteration'; did you mean iterations"),
        ("equalize{limit=2 iterations=x}", 18, "expected an integer, found 'x'"),
        ("equalize{iterations=1.5}", 10, "expected an integer, found '1.5'"),
        ("equalize{iterations}", 10, "found no value"),
        ("equalize{iterations=}", 21, "expected a value, found '}'"),
        ("equalize{iterations=1,2}", 10, "expected a single value (an integer), found '1,2'"),
        ("equalize{iterations=1 iterations=1}", 23, "given the option iterations twice"),
        ("equalize{limit=nan}", 10, "expected a number, found 'nan'"),
        ("equalize{", 10, "or a closing brace, found the end"),
        ("equalize{=3}", 10, "expected an option of equalize"),
        ('equalize{limit=3"a"}', 17, "expected a blank or a closing brace"),
        ("lower{to=onnx}", 7, "expected one of qdq, qcdq"),
    ],
)
def test_a_wrong_text_is_refused_with_its_position(text: str, position: int, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse(text)
    assert str(caught.value).startswith(f"pipeline, character {position}: ")
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("kind", "words", "value"),
    [
        (bool, [], True),
        (bool, ["false"], False),
        (int, ["-3"], -3),
        (float, ["1e-3"], 0.001),
        (float, ["inf"], float("inf")),
        (str, ["a/b.json"], "a/b.json"),
        (str, ['"a b"'], "a b"),
        (RangeMethod, ["kl"], RangeMethod.KL),
        (int | None, ["none"], None),
        (int | None, ["7"], 7),
        (str | None, ['"none"'], "none"),
        (tuple[int, ...], ["1", "2"], (1, 2)),
        (tuple[str, ...], ["()"], ()),
        (tuple[str, ...], ['"()"'], ("()",)),
    ],
)
def test_words_become_values_of_the_kind(kind: object, words: list[str], value: object) -> None:
    found = read_option(kind, words)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "none"),
        ("none", '"none"'),
        ("", '""'),
        ('say "a"', r'"say \"a\""'),
        (False, "false"),
        (0.1, "0.1"),
        ((), "()"),
        (("a", "b c"), 'a,"b c"'),
        (RangeMethod.MSE, "mse"),
    ],
)
def test_values_are_printed_so_that_they_can_be_read(value: object, text: str) -> None:
    assert write_option(value) == text


@pytest.mark.parametrize(
    ("kind", "words"),
    [(bool, ["yes"]), (int, ['"a"']), (float, []), (tuple[int, ...], []), (tuple[int, ...], ["1", "x"])],
)
def test_other_words_are_refused(kind: object, words: list[str]) -> None:
    with pytest.raises(ValueError, match=r"true or false|integer|number"):
        read_option(kind, words)


def test_a_kind_without_a_text_form_is_a_fault_of_the_pass() -> None:
    with pytest.raises(PassContractError, match="no text form"):
        read_option(int | str | None, ["3"])


def test_options_are_the_fields_in_kebab_case() -> None:
    assert list(options_of(Equalize)) == ["iterations", "limit"]
    assert options_of(AssignScales)["percentile"].default == 99.99
