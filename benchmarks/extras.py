"""Extras of the package in clean environments: each alone, all together, and what is said without them.

    python benchmarks/extras.py [--only view,search] [--folder /tmp/extras] [--wheel qtool.whl]

Builds the wheel unless one is given, makes an environment without extras, one for each extra and one with all
of them, with the versions of constraints.txt, and runs a command that needs the extra: it must succeed there,
and end in the environment without extras with exit code 2 and the name of the extra. Writes
benchmarks/results/extras.json, and ends with exit code 1 when anything else happens.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))

from environment import environment

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "extras.json"
DIGITS = ROOT / "samples" / "quickstart"
CALIB, EVAL = DIGITS / "digits_calib.npz", DIGITS / "digits_eval.npz"
NONE, ALL = "none", "all"
LONGEST_S = 600


class Environment:
    """A new virtual environment with the wheel and one set of extras."""

    def __init__(self, folder: Path, wheel: Path, extras: str) -> None:
        """Install; raises CalledProcessError where pip refuses."""
        self.folder = folder
        start = time.perf_counter()
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        wanted = f"qtool[{extras}] @ {wheel.as_uri()}" if extras else str(wheel)
        self.run("python", "-m", "pip", "install", "-q", "-c", str(ROOT / "constraints.txt"), wanted)
        self.run("python", "-m", "pip", "check")
        listed = self.run("python", "-m", "pip", "list", "--format=json").stdout
        self.facts = {"seconds": round(time.perf_counter() - start, 1), "packages": len(json.loads(listed))}

    def run(self, *words: object, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a program of the environment, outside of the checkout."""
        command = [str(self.folder / "bin" / str(words[0])), *map(str, words[1:])]
        return subprocess.run(
            command, cwd=self.folder, capture_output=True, text=True, check=check, timeout=LONGEST_S
        )

    @contextmanager
    def started(self, *words: object) -> Iterator[None]:
        """Keep a program of the environment running."""
        command = [str(self.folder / "bin" / str(words[0])), *map(str, words[1:])]
        with subprocess.Popen(
            command, cwd=self.folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as it:
            try:
                yield
            finally:
                it.terminate()


def free_port() -> int:
    """Return a port that nothing listens on."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def search(*options: object) -> tuple[object, ...]:
    """Return a short search as words."""
    given = ("--calib", CALIB, "--eval", EVAL, "--target", "bitfusion", "--samples", 20, "--evaluations", 3)
    return ("qtool", "search", DIGITS / "digits.onnx", *given, *options, "--force", "-o", "found")


def train(place: Environment, compiled: Path) -> subprocess.CompletedProcess[str]:
    """Train the sample network under a plan for two steps."""
    words = ("--plan", compiled / "plan.json", "--train", CALIB, "--steps", 2, "--force", "-o", "tuned")
    return place.run("qtool", "finetune", DIGITS / "digits.onnx", *words, check=False)


def nsga2(place: Environment, compiled: Path) -> subprocess.CompletedProcess[str]:
    """Search with pymoo."""
    return place.run(*search("--solver", "nsga2"), check=False)


def haq(place: Environment, compiled: Path) -> subprocess.CompletedProcess[str]:
    """Search with an agent."""
    return place.run(*search("--solver", "haq"), check=False)


def cluster(place: Environment, compiled: Path) -> subprocess.CompletedProcess[str]:
    """Search on a cluster of one worker; without Dask there is none to start."""
    address = f"127.0.0.1:{free_port()}"
    words = search("--solver", "random", "--workers", f"dask://{address}")
    if not (place.folder / "bin" / "dask").exists():
        return place.run(*words, check=False)
    host, port = address.split(":")
    with (
        place.started("dask", "scheduler", "--host", host, "--port", port, "--no-dashboard"),
        place.started("dask", "worker", f"tcp://{address}", "--nthreads", 1, "--no-dashboard"),
    ):
        return place.run(*words, check=False)


def view(place: Environment, compiled: Path) -> subprocess.CompletedProcess[str]:
    """Open the page of a model, and ask for it."""
    port = free_port()
    words = ("qtool", "view", compiled, "--port", port)
    if not (place.folder / "bin" / "netron").exists():
        return place.run(*words, check=False)
    with place.started(*words):
        for _ in range(60):
            time.sleep(1)
            try:
                with urllib.request.urlopen(f"http://localhost:{port}/", timeout=10) as page:
                    return subprocess.CompletedProcess(words, 0 if page.status == 200 else 1, "", "")
            except OSError:
                continue
    return subprocess.CompletedProcess(words, 1, "", "no page within a minute")


def docs(place: Environment, compiled: Path) -> subprocess.CompletedProcess[str]:
    """Build the site; no command of the tool needs this extra."""
    words = (
        "-m",
        "mkdocs",
        "build",
        "--strict",
        "--quiet",
        "-f",
        ROOT / "mkdocs.yml",
        "-d",
        place.folder / "site",
    )
    return place.run("python", *words, check=False)


CHECKS: dict[str, Callable[[Environment, Path], subprocess.CompletedProcess[str]]] = {
    "train": train,
    "search": nsga2,
    "rl": haq,
    "distributed": cluster,
    "view": view,
    "docs": docs,
}


def outcome(done: subprocess.CompletedProcess[str]) -> str:
    """Return ``works``, or the end of what was said."""
    return "works" if done.returncode == 0 else f"exit code {done.returncode}: {done.stderr.strip()[-300:]}"


def build(folder: Path) -> Path:
    """Build the wheel."""
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", str(folder), str(ROOT)]
    subprocess.run(command, check=True)
    return next(folder.glob("qtool-*.whl"))


def asked_for() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default=",".join(CHECKS))
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--wheel", type=Path)
    return parser.parse_args()


def main() -> int:
    """Check what is asked for; return the exit code."""
    asked = asked_for()
    names = asked.only.split(",")
    folder = asked.folder or Path(tempfile.mkdtemp())
    folder.mkdir(parents=True, exist_ok=True)
    os.environ |= {"NO_MKDOCS_2_WARNING": "1", "OMP_NUM_THREADS": "1"}
    wheel = asked.wheel.resolve() if asked.wheel else build(folder)
    bare = Environment(folder / NONE, wheel, "")
    quick = ("--target", "bitfusion", "--bits", 8, "-o", "out")
    bare.run("qtool", "quantize", DIGITS / "digits.onnx", "--calib", CALIB, *quick)
    compiled = bare.folder / "out"
    found: dict[str, Any] = {NONE: bare.facts}
    good = True
    for name in names:
        refused = CHECKS[name](bare, compiled)
        named = refused.returncode == 2 and f"qtool[{name}]" in refused.stderr
        good &= named or name == "docs"
        alone = Environment(folder / name, wheel, name)
        says = outcome(CHECKS[name](alone, compiled))
        found[name] = alone.facts | {
            "alone": says,
            "without": "names the extra" if named else outcome(refused),
        }
        print(name, found[name], flush=True)
        shutil.rmtree(alone.folder)
    together = Environment(folder / ALL, wheel, asked.only)
    found[ALL] = together.facts | {name: outcome(CHECKS[name](together, compiled)) for name in names}
    good &= all(found[name]["alone"] == found[ALL][name] == "works" for name in names)
    document = {"environment": environment(), "extras": found, "good": good}
    RESULTS.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(found, indent=1))
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
