"""What benchmarks/coverage.py does with a case, in a process of its own with a limit on its time."""

from __future__ import annotations

import contextlib
import io
import json
import multiprocessing
import re
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from coverage_cases import Case
from numpy.typing import NDArray
from typer.testing import CliRunner

import qtool.quantization  # noqa: F401 - imported here, a process that a case is forked into has it at once
from hwmodels import load_target
from passes.api import PassContext
from passes.errors import QtoolError
from passes.ir.onnx_io import read_model, to_proto
from passes.transform.canonicalize import Canonicalize
from qtool.cli.main import app

TOLERANCE, HALF_TOLERANCE = 1e-5, 1e-2
"""Relative to the largest result; in half precision sums round earlier."""
FORMS = "qdq,qcdq,packed"
SHOWN = 300
"""Characters of a reason."""
FORK = multiprocessing.get_context("fork")
"""Packages are imported once, in the parent; a case costs what its own work costs."""
Outcome = dict[str, Any]


def apart(work: Callable[..., Outcome], *arguments: Any, limit: int) -> Outcome:
    """Return what a function returns in a process of its own, with its time and memory."""
    receiver, sender = FORK.Pipe(duplex=False)
    start = time.perf_counter()
    process = FORK.Process(target=lambda: sender.send(measured(work, *arguments)))
    process.start()
    sender.close()
    outcome: Outcome = {"outcome": "hangs"}
    try:
        if receiver.poll(limit):
            outcome = receiver.recv()
    except EOFError:
        outcome = {"outcome": "dies"}
    process.kill()
    process.join()
    return outcome | {"seconds": round(time.perf_counter() - start, 2)}


def measured(work: Callable[..., Outcome], *arguments: Any) -> Outcome:
    """Add the memory that the process held."""
    with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
        outcome = work(*arguments)
    return outcome | {"peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024}


def canonical(case: Case, limit: int) -> Outcome:
    """Return whether a model computes after canonicalization what it computed before."""
    return apart(canonicalized, case, limit=limit)


def canonicalized(case: Case) -> Outcome:
    """Return ``same``, ``refused``, ``not run`` (nobody can tell), ``broken`` or ``differs``."""
    try:
        model = read_model(case.model)
        Canonicalize().run(model, PassContext(load_target("generic")))
        written = to_proto(model)
    except QtoolError as error:
        return {"outcome": "refused", "reason": str(error)[:200]}
    feeds = dict(np.load(case.eval))
    before = outputs(onnx.ModelProto.FromString(case.model.read_bytes()), feeds)
    if before is None:
        return {"outcome": "not run", "reason": "ONNX Runtime does not run the original"}
    after = outputs(written, feeds)
    if after is None:
        return {"outcome": "broken", "reason": "ONNX Runtime runs the original only"}
    return {"outcome": "same" if all(map(equal, before, after)) else "differs"}


def outputs(proto: onnx.ModelProto, feeds: dict[str, NDArray[Any]]) -> list[Any] | None:
    """Return what a model gives in ONNX Runtime without its optimizations; ``None`` where it does not run."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    known = {value.name for value in proto.graph.input}
    given = {name: array for name, array in feeds.items() if name in known}
    try:
        session = onnxruntime.InferenceSession(
            proto.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        return list(session.run(None, given))
    # Whatever ONNX Runtime raises says the same: it does not run this.
    except Exception:
        return None


def equal(before: Any, after: Any) -> bool:
    """Compare tensors of numbers within the tolerance; other values are not compared."""
    if not isinstance(before, np.ndarray) or before.dtype.kind not in "fiub":
        return True
    bound = HALF_TOLERANCE if before.dtype == np.float16 else TOLERANCE
    left, right = before.astype(np.float64), np.asarray(after).astype(np.float64)
    largest = max(1.0, float(np.abs(np.nan_to_num(left, posinf=0, neginf=0)).max(initial=0)))
    return left.shape == right.shape and np.allclose(left, right, bound, bound * largest, equal_nan=True)


def compiled(case: Case, work: Path, limit: int, *, networks: bool) -> Outcome:
    """Return what ``qtool quantize``, and ``qtool compare`` of its results, make of a case."""
    target = "bitfusion" if networks else "generic"
    words = ["quantize", case.model, "--calib", case.calib, "--eval", case.eval, *case.words]
    words += ["--to", FORMS, "--target", target, "-o", work / "out", "--quiet"]
    found = apart(_called, words, limit=limit)
    if "qtool plan import" in found.get("reason", ""):
        return imported(case, work, limit)
    if found["outcome"] != "exit 0":
        return found
    del found["output"]
    return found | _summary(json.loads((work / "out" / "report.json").read_text()))


def imported(case: Case, work: Path, limit: int) -> Outcome:
    """Return what ``plan import``, ``lower`` and ``compare`` make of a model that is quantized already."""
    model, lowered = work / "read" / "model.onnx", work / "lowered"
    qdq, packed = lowered / "model.qdq.onnx", lowered / "model.qpk"
    data = ["--data", case.eval, *case.words, "--json"]
    steps: list[list[Any]] = [
        ["plan", "import", case.model, "--float-io", "-o", model.parent, "--json"],
        ["lower", model, "--plan", model.with_name("plan.json"), "--to", FORMS, "-o", lowered, "--quiet"],
        ["compare", model, qdq, *data],
        ["compare", qdq, packed, *data],
    ]
    found = [apart(_called, words, limit=limit) for words in steps]
    if wrong := [step for step in found if step["outcome"] != "exit 0"]:
        return wrong[0]
    read, _, first, second = (json.loads(step["output"] or "{}") for step in found)
    return {
        "outcome": "exit 0",
        "seconds": sum(step["seconds"] for step in found),
        "layers": len(read["layers"]),
        "float_layers": len(read["kept"]),
        "macs": None,
        "metric": first["metric"]["name"],
        "float": first["metric"]["a"],
        "quantized": first["metric"]["b"],
        "packed": second["metric"]["b"],
        "agreement_with_float": first["agreement"],
        "agreement_packed_vs_qdq": second["agreement"],
        "max_lsb": None,
        "no_packed_form": None,
    }


def _called(words: list[Any]) -> Outcome:
    result = CliRunner().invoke(app, [str(word) for word in words])
    outcome: Outcome = {"outcome": f"exit {result.exit_code}", "output": result.stdout[-20000:]}
    reason = re.sub(rf"{re.escape(tempfile.gettempdir())}/\w+/", "", result.stderr.strip())
    return outcome | ({"reason": shortened(reason)} if result.exit_code else {})


def shortened(text: str) -> str:
    """Keep the start of a long text, which says what is wrong, and its end, which says what to do."""
    return text if len(text) < SHOWN else f"{text[: SHOWN // 2]} ... {text[-SHOWN // 2 :]}"


def _summary(report: dict[str, Any]) -> Outcome:
    metric, agreement = report["metric"], report["agreement"]
    refusals = [line["message"] for line in report["journal"] if line["subject"] == "packed"]
    return {
        "layers": sum(layer["quantized"] for layer in report["layers"]),
        "float_layers": sum(not layer["quantized"] for layer in report["layers"]),
        "macs": report["coverage"]["macs"],
        "metric": metric["name"],
        "float": metric["float"],
        "quantized": metric["quantized"],
        "packed": metric["packed"],
        "agreement_with_float": agreement["top1_vs_float"],
        "agreement_packed_vs_qdq": agreement["top1_agreement"],
        "max_lsb": agreement["qdq_vs_packed_max_lsb"],
        "no_packed_form": refusals[0][:200] if refusals else None,
    }
