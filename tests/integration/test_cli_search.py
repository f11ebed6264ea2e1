"""``qtool search`` on the sample network: files, resumption, what goes wrong."""

from __future__ import annotations

import csv
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from typer.testing import Result

Cli = Callable[..., Result]
EVALUATIONS = 12


def words(quickstart: Path, out: Path, *more: object) -> list[object]:
    """The command that all tests share."""
    data = ["--calib", quickstart / "digits_calib.npz", "--eval", quickstart / "digits_eval.npz"]
    options = ["--target", "bitfusion", "--solver", "random", "--samples", 100, "--quiet", "-o", out]
    return ["search", quickstart / "digits.onnx", *data, *options, "--evaluations", EVALUATIONS, *more]


def stored(out: Path) -> int:
    """Number of plans in the cache."""
    with closing(sqlite3.connect(out / "evaluations.sqlite")) as file:
        return int(file.execute("SELECT COUNT(*) FROM evaluations").fetchone()[0])


@pytest.fixture(scope="module")
def searched(cli: Cli, quickstart: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished search."""
    out = tmp_path_factory.mktemp("searched") / "out"
    result = cli(*words(quickstart, out))
    assert result.exit_code == 0, result.output
    return out


def test_the_front_is_written_as_json_and_csv(searched: Path) -> None:
    document = json.loads((searched / "front.json").read_text())
    rows = list(csv.DictReader((searched / "front.csv").read_text().splitlines()))
    front = document["front"]
    assert document["evaluations"] == EVALUATIONS == stored(searched)
    assert [row["index"] for row in rows] == [str(entry["index"]) for entry in front]
    assert [row["knee"] for row in rows].index("1") == document["knee"]
    costs = [entry["cost"]["latency_s"] for entry in front]
    losses = [entry["loss"] for entry in front]
    assert costs == sorted(costs)
    assert losses == sorted(losses, reverse=True)
    assert all(entry["estimate_bound"] <= entry["estimate"] * (1 + 1e-9) for entry in front)


def test_the_front_is_told_as_a_page_and_its_points_are_explained(cli: Cli, searched: Path) -> None:
    document = json.loads((searched / "front.json").read_text())
    page = (searched / "report.html").read_bytes()
    assert len(document["measured"]) == EVALUATIONS
    assert [entry["name"] for entry in document["uniform"]][-1] == "w8a8"
    assert cli("report", searched).exit_code == 0
    assert (searched / "report.html").read_bytes() == page
    found = cli("explain", searched, "residual_out.conv", "--json")
    layers = {layer["name"]: layer for layer in document["front"][document["knee"]]["layers"]}
    chosen = layers["residual_out.conv"]
    assert json.loads(found.stdout)["taken"] == f"w{chosen['weight_bits']}a{chosen['act_bits']}"
    beyond = cli("explain", searched, "residual_out.conv", "--point", len(document["front"]))
    assert beyond.exit_code == 2
    assert "counted from 0" in beyond.stderr


def test_the_same_command_measures_nothing_twice_and_can_lower_a_point(
    cli: Cli, quickstart: Path, searched: Path
) -> None:
    before = (searched / "front.json").read_bytes()
    result = cli(*words(quickstart, searched, "--select", 0))
    assert result.exit_code == 0, result.output
    assert (searched / "front.json").read_bytes() == before
    assert stored(searched) == EVALUATIONS
    chosen = json.loads(before)["front"][0]["layers"]
    plan = json.loads((searched / "point-0" / "plan.json").read_text())
    widths = [(layer["name"], layer["weight_bits"], layer["act_bits"]) for layer in plan["layers"]]
    assert widths == [(layer["name"], layer["weight_bits"], layer["act_bits"]) for layer in chosen]
    assert (searched / "point-0" / "model.qpk").is_file()


def test_a_search_that_was_killed_goes_on(cli: Cli, quickstart: Path, searched: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    command = [sys.executable, "-m", "qtool", *(str(word) for word in words(quickstart, out))]
    with subprocess.Popen(command, env=os.environ | {"OMP_NUM_THREADS": "1"}) as process:
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline and not (out / "evaluations.sqlite").exists():
            time.sleep(0.02)
        time.sleep(0.3)
        process.send_signal(signal.SIGKILL)
    known = stored(out)
    result = cli(*words(quickstart, out))
    assert result.exit_code == 0, result.output
    assert known <= stored(out) == EVALUATIONS
    assert (out / "front.json").read_bytes() == (searched / "front.json").read_bytes()


def test_a_damaged_cache_is_set_aside_and_said(cli: Cli, quickstart: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "evaluations.sqlite").write_bytes(b"not a database" * 100)
    result = cli(*words(quickstart, out, "--evaluations", 2))
    assert result.exit_code == 0, result.output
    assert "set aside" in result.stderr
    assert (out / "evaluations.sqlite.1.bad").is_file()
    assert stored(out) == 2


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--solver", "genetic"], "unknown search solver"),
        (["--objectives", "loss"], "a cost besides the loss"),
        (["--objectives", "loss,speed"], "speed"),
        (["--evaluations", 0], "1 or more"),
        (["--workers", "many"], "a number of processes or dask://host:port"),
        (["--select", 1, "--knee"], "give one"),
        (["--time-limit", 0], "positive number of seconds"),
    ],
)
def test_requests_that_cannot_be_understood(
    cli: Cli, quickstart: Path, tmp_path: Path, more: list[object], message: str
) -> None:
    result = cli(*words(quickstart, tmp_path / "out", *more))
    assert result.exit_code == 2
    assert message in result.stderr


@pytest.mark.parametrize(
    ("more", "code", "message"),
    [
        (["--max-latency", "0.001x"], 4, "the least that is feasible is"),
        (["--max-memory", "1B", "--solver", "auto"], 4, "peak_memory_bytes: the limit is 1"),
        (["--pin", "*=w8a8", "--max-size", "0.5x"], 4, "the least that is feasible is"),
        (["--max-drop", "1%", "--bits", 2, "--evaluations", 1], 5, "loses at most 1 points"),
        (["--max-size", "0.26x", "--evaluations", 1], 4, "weight_bytes"),
        (["--max-drop", "1%", "--metric", "sqnr"], 2, "sqnr is in dB"),
    ],
)
def test_limits_that_cannot_be_met(
    cli: Cli, quickstart: Path, tmp_path: Path, more: list[object], code: int, message: str
) -> None:
    result = cli(*words(quickstart, tmp_path / "out", "--sensitivity", "attribution", *more))
    assert result.exit_code == code
    assert message in " ".join(result.stderr.split())
    assert (tmp_path / "out" / "front.json").is_file() == ("files are written" in result.stderr)


def test_beacons_lie_within_the_memory_that_there_is(cli: Cli, quickstart: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    options = ["--sensitivity", "attribution", "--beacons", 1, "--solver", "auto", "--evaluations", 1]
    result = cli(*words(quickstart, out, "--max-memory", "0.6x", *options))
    assert result.exit_code == 0, result.output
    document = json.loads((out / "front.json").read_text())
    (budget,) = document["budgets"]
    assert document["solver"] == "sweep"
    assert all(entry["cost"]["peak_memory_bytes"] <= budget["limit"] for entry in document["front"])


def test_a_scheduler_that_is_not_there(cli: Cli, quickstart: Path, tmp_path: Path) -> None:
    pytest.importorskip("distributed")
    result = cli(*words(quickstart, tmp_path / "out", "--workers", "dask://127.0.0.1:1"))
    assert result.exit_code == 2
    assert "no scheduler answers" in result.stderr


def test_a_folder_of_other_files_is_left_alone(cli: Cli, quickstart: Path, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    result = cli(*words(quickstart, tmp_path))
    assert result.exit_code == 2
    assert "no search to resume" in result.stderr


def test_latency_can_be_measured_on_this_machine(cli: Cli, quickstart: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    result = cli(*words(quickstart, out, "--objectives", "loss,measured-latency"))
    assert result.exit_code == 0, result.output
    document = json.loads((out / "front.json").read_text())
    assert document["objectives"] == ["loss", "measured_latency_s"]
    assert all(0 < entry["cost"]["measured_latency_s"] < 1 for entry in document["front"])
    assert all(entry["estimate_bound"] is None for entry in document["front"])


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        (("--solver", "sweep"), "measured_latency_s is no such sum"),
        (("--workers", 2), "side by side"),
    ],
)
def test_a_measured_latency_needs_a_solver_that_can_and_one_plan_at_a_time(
    more: tuple[object, ...], expected: str, cli: Cli, quickstart: Path, tmp_path: Path
) -> None:
    result = cli(*words(quickstart, tmp_path / "out", "--objectives", "loss,measured-latency", *more))
    assert result.exit_code == 2
    assert expected in " ".join(result.output.split())


def test_plans_near_beacons_borrow_their_weights(
    cli: Cli, quickstart: Path, searched: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    result = cli(*words(quickstart, out, "--beacons", 2))
    assert result.exit_code == 0, result.output
    with closing(sqlite3.connect(out / "evaluations.sqlite")) as file:
        (digest,) = {row[0] for row in file.execute("SELECT digest FROM evaluations")}
    with closing(sqlite3.connect(searched / "evaluations.sqlite")) as file:
        assert digest not in {row[0] for row in file.execute("SELECT digest FROM evaluations")}


def test_plans_are_fine_tuned_before_they_are_measured(
    cli: Cli, quickstart: Path, searched: Path, tmp_path: Path
) -> None:
    pytest.importorskip("torch", reason="needs the extra train")
    train = ("--train", quickstart / "digits_calib.npz", "--finetune", 3, "--evaluations", 2)
    assert cli(*words(quickstart, tmp_path / "out", *train)).exit_code == 0
    trained, before = (json.loads((it / "front.json").read_text()) for it in (tmp_path / "out", searched))
    assert trained["evaluations"] == 2
    assert trained["measured"] != before["measured"][:2]


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        (("--beacons", -1), "0 to 64"),
        (("--beacons", 1, "--objectives", "loss,measured-latency"), "sum over layers"),
        (("--train", "some.npz"), "--train: nothing to train; give --finetune"),
        (("--finetune", 5), "--finetune: needs samples to learn from; give --train"),
        (("--finetune", -1), "--finetune: expected 0 or more"),
        (("--beacons", 1, "--train", "some.npz", "--train-steps", 0), "--train-steps: expected 1 or more"),
    ],
)
def test_beacons_that_cannot_be(
    more: tuple[object, ...], expected: str, cli: Cli, quickstart: Path, tmp_path: Path
) -> None:
    result = cli(*words(quickstart, tmp_path / "out", *more))
    assert result.exit_code == 2
    assert expected in " ".join(result.output.split())
