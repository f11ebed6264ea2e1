"""AIMET encodings: both versions, written and read, and what is refused."""

from __future__ import annotations

import pytest

from passes.errors import PlanError
from passes.interchange.aimet import from_aimet, to_aimet
from passes.interchange.encodings import Format
from passes.ir.plan import Role
from passes.numerics import IntFormat, PerGroup


def test_the_entries_of_version_1(tensors):
    document = to_aimet(tensors, Format.AIMET)
    assert document["version"] == "1.0.0"
    assert document["activation_encodings"][0] == {
        "name": "act", "dtype": "INT", "enc_type": "PER_TENSOR", "is_sym": False, "bw": 8, "scale": [0.5],
        "offset": [-3],
    }  # fmt: skip
    assert document["param_encodings"] == [
        {"name": "weight", "dtype": "INT", "enc_type": "PER_CHANNEL", "is_sym": True, "bw": 4,
         "scale": [0.5, 0.75], "offset": [-8, -8]}
    ]  # fmt: skip


def test_the_entries_of_version_0(tensors):
    document = to_aimet(tensors, Format.AIMET_LEGACY)
    assert document["activation_encodings"]["act"] == [
        {"bitwidth": 8, "dtype": "int", "is_symmetric": "False", "max": 126.0, "min": -1.5, "offset": -3,
         "scale": 0.5}
    ]  # fmt: skip
    assert [row["offset"] for row in document["param_encodings"]["weight"]] == [-8, -8]


@pytest.mark.parametrize("kind", [Format.AIMET, Format.AIMET_LEGACY])
def test_what_was_written_is_read(tensors, kind):
    found = from_aimet(to_aimet(tensors, kind), "file")
    assert {name: str(it.format) for name, it in found.items()} == {
        "act": "uint8", "signed": "int16", "weight": "int4",
    }  # fmt: skip
    assert found["weight"].scale.tolist() == [0.5, 0.75]
    assert (found["act"].zero.tolist(), found["weight"].zero.tolist()) == ([3], [0, 0])
    assert found["weight"].by_channel


def entry(**changes):
    row = {"name": "a", "dtype": "INT", "enc_type": "PER_TENSOR", "is_sym": False, "bw": 8}
    row |= {"scale": [0.5], "offset": [0]} | changes
    return {"version": "1.0.0", "activation_encodings": [row], "param_encodings": []}


def test_floats_and_biases_are_left_out():
    assert from_aimet(entry(dtype="FLOAT"), "file") == {}
    assert from_aimet(entry(bw=32), "file") == {}


@pytest.mark.parametrize(
    "document",
    [
        [],
        {},
        {"version": "2.0.0"},
        {"version": "1.0.0", "activation_encodings": 5},
        {"version": "1.0.0", "activation_encodings": [5]},
        {"version": "0.6.1", "activation_encodings": {"a": []}},
        {"version": "0.6.1", "activation_encodings": {"a": [{"bitwidth": 8}, {"bitwidth": 4}]}},
        entry(bw="8"),
        entry(bw=9),
        entry(scale=0.5),
        entry(scale=[0.0]),
        entry(scale=[float("nan")]),
        entry(scale=["x"]),
        entry(scale=[0.5, 0.5]),
        entry(scale=[], offset=[]),
        entry(offset=[10**400]),
        entry(offset=[float("inf")]),
        entry(offset=[-0.5]),
        entry(offset=[1]),
        entry(offset=["-3"]),
        entry(enc_type="LPBQ"),
    ],
)
def test_what_makes_no_sense_is_refused(document):
    with pytest.raises(PlanError, match=r"^file"):
        from_aimet(document, "file")


def test_scales_of_groups_are_not_written(tensor):
    groups = tensor(Role.WEIGHT, IntFormat(4), PerGroup(1, 16), [[0.5]], [[0]])
    with pytest.raises(PlanError, match="groups"):
        to_aimet({"weight": groups}, Format.AIMET)
