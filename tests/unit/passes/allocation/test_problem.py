from __future__ import annotations

import json
from dataclasses import replace

import pytest

from passes.allocation import AllocationProblem
from passes.errors import ProblemError


def test_json_round_trip(two_layers):
    tied = replace(two_layers, ties=(("a", "b"),), act_ties=(("b", "a"),))
    assert AllocationProblem.from_json(json.loads(json.dumps(tied.to_json()))) == tied


def test_metrics_are_those_of_the_costs(two_layers):
    assert two_layers.metrics == ("latency_s", "bytes")


def _set(document, path, value):
    *parents, last = path
    for key in parents:
        document = document[key]
    document[last] = value


CHOICE = ("layers", 1, "choices", 0)


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("layers",), {}, "p.json: layers: expected an array, found {}"),
        (("layers",), [], "p.json: there are no layers"),
        (("layers", 0), 3, r"layers\[0\]: expected an object, found 3"),
        (("layers", 1, "name"), "a", "layer 'a' appears 2 times"),
        (("layers", 1, "name"), "", r"layers\[1\].name: expected a non-empty string"),
        (("layers", 1, "choices"), [], "layer 'b' has no choices"),
        (
            (*CHOICE, "loss"),
            float("nan"),
            r"layers\[1\] \(b\).choices\[0\].loss: expected a finite number, found nan",
        ),
        ((*CHOICE, "loss"), "9", "expected a finite number, found '9'"),
        ((*CHOICE, "loss"), True, "expected a finite number, found True"),
        ((*CHOICE, "loss"), 10**400, r"expected a finite number, found 1000"),
        ((*CHOICE, "weight_bits"), 0, "a whole number of bits from 1 to 64, found 0"),
        ((*CHOICE, "act_bits"), 8.5, "a whole number of bits"),
        ((*CHOICE, "cost"), {"latency_s": 1.0}, "layer 'b', choice 0: expected the cost metrics"),
        ((*CHOICE, "cost"), {"latency_s": -1.0, "bytes": 1.0}, "a cost that is not negative, found -1.0"),
        ((*CHOICE, "cost"), None, "cost: expected an object, found None"),
        (("ties",), [["a", "c"]], "ties name a layer 'c' that does not exist"),
        (("act_ties",), [["c"]], "act_ties name a layer 'c' that does not exist"),
        (("ties",), ["ab"], r"ties\[0\]: expected an array"),
    ],
)
def test_a_damaged_document_is_refused_with_its_place(two_layers, path, value, message):
    document = two_layers.to_json()
    _set(document, path, value)
    with pytest.raises(ProblemError, match=message):
        AllocationProblem.from_json(document, "p.json")


def test_tied_layers_must_share_a_pair(two_layers):
    document = two_layers.to_json() | {"ties": [["a", "b"]]}
    document["layers"][1]["choices"] = [document["layers"][1]["choices"][0] | {"weight_bits": 2}]
    with pytest.raises(ProblemError, match="the layers a, b share no"):
        AllocationProblem.from_json(document)


def test_act_tied_layers_must_share_act_bits(two_layers):
    document = two_layers.to_json() | {"act_ties": [["a", "b"]]}
    document["layers"][1]["choices"] = [document["layers"][1]["choices"][0] | {"act_bits": 2}]
    with pytest.raises(ProblemError, match="the layers a, b share no act_bits"):
        AllocationProblem.from_json(document)


def test_a_tied_layer_may_not_offer_a_pair_twice(two_layers):
    document = two_layers.to_json() | {"ties": [["a", "b"]]}
    document["layers"][0]["choices"] *= 2
    with pytest.raises(ProblemError, match="'a' is tied but offers"):
        AllocationProblem.from_json(document)


def test_a_cost_may_not_be_called_loss(two_layers):
    document = two_layers.to_json()
    for layer in document["layers"]:
        for choice in layer["choices"]:
            choice["cost"]["loss"] = 1.0
    with pytest.raises(ProblemError, match="names the loss itself"):
        AllocationProblem.from_json(document)


def test_load_reads_what_was_written(two_layers, tmp_path):
    path = tmp_path / "problem.json"
    path.write_text(json.dumps(two_layers.to_json()), encoding="utf-8")
    assert AllocationProblem.load(path) == two_layers


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[" * 100_000, b"1" * 5000])
def test_load_refuses_what_is_not_a_problem(tmp_path, content):
    path = tmp_path / "problem.json"
    path.write_bytes(content)
    with pytest.raises(ProblemError, match=r"problem\.json"):
        AllocationProblem.load(path)


def test_load_refuses_a_huge_file_without_reading_it(tmp_path):
    path = tmp_path / "problem.json"
    with path.open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(ProblemError, match="expected a problem of at most"):
        AllocationProblem.load(path)


def test_load_names_a_missing_file(tmp_path):
    with pytest.raises(ProblemError, match=r"absent\.json: cannot be read"):
        AllocationProblem.load(tmp_path / "absent.json")
