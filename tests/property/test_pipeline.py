"""Whatever options a pass has, its text gives it back; any other text is a pipeline or refused."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from passes.api import Pass
from passes.errors import UsageError
from passes.lowering.encoding import Form
from passes.lowering.lower import Lower
from passes.numerics import RangeMethod
from passes.options import read_option, write_option
from passes.pipeline import parse, to_text
from passes.transform.assign_scales import AssignScales
from passes.transform.bias_correction import BiasCorrection
from passes.transform.canonicalize import Canonicalize
from passes.transform.equalize import Equalize

numbers = st.floats(allow_nan=False)
methods = st.sampled_from(RangeMethod)
passes = st.one_of(
    st.just(Canonicalize()),
    st.builds(Equalize, iterations=st.integers(), limit=numbers),
    st.builds(AssignScales, method=methods, weights=methods, percentile=numbers),
    st.builds(BiasCorrection, max_bits=st.integers()),
    st.builds(Lower, to=st.sampled_from(Form)),
)
values = st.one_of(
    st.booleans().map(lambda value: (bool, value)),
    st.integers().map(lambda value: (int, value)),
    numbers.map(lambda value: (float, value)),
    st.text().map(lambda value: (str, value)),
    st.none().map(lambda value: (str | None, value)),
    st.text().map(lambda value: (str | None, value)),
)


@given(st.lists(passes, max_size=5).map(tuple))
def test_a_pipeline_survives_its_text(pipeline: tuple[Pass, ...]) -> None:
    assert parse(to_text(pipeline)) == pipeline


@given(values)
def test_a_value_survives_its_word(kind_and_value: tuple[object, object]) -> None:
    kind, value = kind_and_value
    found = read_option(kind, [write_option(value)])
    assert found == value
    assert type(found) is type(value)


@given(st.text(alphabet='equaliziterations-{}=,. "\\0123'))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        pipeline = parse(text)
    except UsageError as error:
        refusal = str(error)
    else:
        refusal = ""
        assert parse(to_text(pipeline)) == pipeline
    assert not refusal or refusal.startswith("pipeline, character ")
