"""What goes through: real networks, odd graphs and the onnx package's tests, from file to comparison.

    python benchmarks/coverage.py --data ../shared/data [--only models,odd,suite] [--names PART]

Every case runs the command line in a process of its own, with no option but data and target, and must end
with exit code 0, or 3 and a reason. Writes benchmarks/results/coverage.json, of which
benchmarks/coverage_page.py makes docs/coverage.md. Parts and cases that are not asked for keep their results.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))

from coverage_cases import Case, network_cases, odd_cases, suite_cases
from coverage_runs import canonical, compiled
from environment import environment

RESULTS = Path(__file__).resolve().parent / "results" / "coverage.json"
PARTS = {"models": network_cases, "odd": odd_cases, "suite": suite_cases}
NETWORK_SECONDS, GRAPH_SECONDS = 3600, 600
"""Limits on the time of a case; what takes longer counts as a hang."""


def measure(part: str, case: Case) -> dict[str, Any]:
    """Return what became of one case: the canonicalized model, and the compiled one."""
    limit = NETWORK_SECONDS if part == "models" else GRAPH_SECONDS
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        found = {"canonical": None if part == "models" else canonical(case, limit)}
        return found | {"compiled": compiled(case, work, limit, networks=part == "models")}


def main() -> None:
    """Run what is asked for and merge it into the results."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--only", default=",".join(PARTS))
    parser.add_argument("--names", default="")
    options = parser.parse_args()
    document: dict[str, Any] = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    for part in options.only.split(","):
        entries = document.setdefault(part, {})
        with tempfile.TemporaryDirectory() as folder:
            for case in PARTS[part](options.data, Path(folder)):
                if options.names in case.name:
                    entries[case.name] = measure(part, case)
                    print(case.name, json.dumps(entries[case.name]), flush=True)
                    write(document)


def write(document: dict[str, Any]) -> None:
    """Write what was measured so far."""
    parts = {part: dict(sorted(document[part].items())) for part in PARTS if part in document}
    text = json.dumps({"environment": environment(), **parts}, indent=1)
    RESULTS.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
