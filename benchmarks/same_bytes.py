"""Writes results/same_bytes.json: whether `make demo` writes the same bytes on several Pythons.

Each interpreter must have qtool and its dependencies, of the versions of `constraints.txt`:

    python benchmarks/same_bytes.py .venv/bin/python ../py312/.venv/bin/python ../py313/.venv/bin/python

The command of the demo runs once for every interpreter, number of threads and seed of Python's hashes. Files
that tell times and memory are left out; of report.json, those keys.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from environment import environment

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "same_bytes.json"
QUICKSTART = ROOT / "samples" / "quickstart"
OPTIONS = ("--target", "bitfusion", "--max-latency", "0.5x", "--to", "qdq,qcdq,packed", "--quiet")
THREADS, HASHES = (1, 2), (0, 12345)
SHOWN_TIMES = ("report.md", "report.html")
TAKEN = ("time_s", "peak_rss_bytes", "versions")
"""Keys of report.json that say how a run went and on what, not what it gave."""
VERSIONS = "import json; from qtool.environment import versions; print(json.dumps(versions()))"


def digests(python: str, threads: int, hashes: int, out: Path) -> dict[str, str]:
    """Return the digest of each file that a run writes, by name."""
    data = ["--calib", QUICKSTART / "digits_calib.npz", "--eval", QUICKSTART / "digits_eval.npz"]
    words = [QUICKSTART / "digits.onnx", *data, *OPTIONS, "--workers", threads, "-o", out]
    surroundings = os.environ | {"PYTHONHASHSEED": str(hashes), "OMP_NUM_THREADS": str(threads)}
    subprocess.run(
        [python, "-m", "qtool", "quantize", *map(str, words)], check=True, env=surroundings, cwd=out.parent
    )
    files = {path.name: path.read_bytes() for path in sorted(out.iterdir()) if path.name not in SHOWN_TIMES}
    report = json.loads(files["report.json"])
    left = {key: value for key, value in report.items() if key not in TAKEN}
    files["report.json"] = json.dumps(left).encode()
    return {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}


def measured(pythons: list[str]) -> dict[str, Any]:
    """Return versions and digests of all runs; `same` tells whether there is one digest for each file."""
    runs = []
    for python, threads, hashes in itertools.product(pythons, THREADS, HASHES):
        found = subprocess.run([python, "-c", VERSIONS], check=True, capture_output=True, text=True, cwd="/")
        with tempfile.TemporaryDirectory() as folder:
            files = digests(python, threads, hashes, Path(folder) / "out")
        run = {"versions": json.loads(found.stdout), "threads": threads, "hashes": hashes, "sha256": files}
        print(run["versions"]["python"], threads, hashes, files["model.qpk"][:12], file=sys.stderr)
        runs.append(run)
    first = runs[0]["sha256"]
    differ = sorted({name for run in runs for name in first if run["sha256"].get(name) != first[name]})
    return {"same": not differ, "differ": differ, "runs": runs}


def main() -> int:
    """Write the results; the exit status is 1 where any byte differs."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("pythons", nargs="+", help="interpreters of environments with qtool")
    pythons = [str(Path(python).absolute()) for python in parser.parse_args().pythons]
    found = measured(pythons)
    RESULTS.write_text(json.dumps({"environment": environment(), **found}, indent=1) + "\n", encoding="utf-8")
    return 0 if found["same"] else 1


if __name__ == "__main__":
    sys.exit(main())
