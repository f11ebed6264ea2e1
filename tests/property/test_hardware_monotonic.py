from __future__ import annotations

from itertools import product

from hypothesis import given
from hypothesis import strategies as st

from hwmodels import Metric, UnsupportedError, Workload, load_target

NAMES = (
    "arm-dotprod",
    "bismo-cloud",
    "bismo-edge",
    "cortex-m4",
    "cortex-m55",
    "eyeriss",
    "hexagon-like",
    "silago",
    "systolic-32",
    "tensorcore-h100",
    "tensorcore-t4",
    "x86-avx2",
    "x86-avx512-vnni",
)
MODELS = {name: load_target(name) for name in NAMES}

sizes = st.integers(1, 200)
groups = st.sampled_from([1, 2, 8])
works = st.one_of(
    st.builds(Workload.gemm, st.just("product"), sizes, sizes, sizes),
    st.builds(Workload.matmul, st.just("scores"), sizes, sizes, sizes, sizes),
    st.builds(
        lambda inputs, outputs, kernel, size, groups: Workload.conv(
            "convolution", (groups * inputs, groups * outputs), (kernel, kernel), (size, size), groups=groups
        ),
        sizes,
        sizes,
        st.integers(1, 7),
        st.integers(1, 60),
        groups,
    ),
    st.builds(
        lambda sizes, gates, steps: Workload.recurrent("gates", sizes, gates=gates, steps=steps),
        st.tuples(sizes, sizes),
        st.integers(1, 4),
        sizes,
    ),
)


@given(st.sampled_from(NAMES), works)
def test_more_bits_never_cost_less(name: str, work: Workload) -> None:
    model = MODELS[name]
    try:
        costs = {pair: model.cost(work, pair) for pair in model.precisions(work)}
    except UnsupportedError:
        assert work.op == "Recurrent"
        return
    for narrow, wide in product(costs, repeat=2):
        if wide.covers(narrow):
            for metric in Metric:
                assert (costs[narrow].get(metric) or 0) <= (costs[wide].get(metric) or 0)
