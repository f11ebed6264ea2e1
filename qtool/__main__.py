"""``python -m qtool``, and the script that an installation puts on the path."""

from __future__ import annotations

import os
import sys

# The integer runtime spreads samples over threads itself; two pools fighting for the same cores slow each
# other down many times over. Read by OpenBLAS when numpy is first imported.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from qtool.cli.main import app


def main() -> None:
    """Run the command line and leave with its exit code.

    Plugins, and functions that give samples or metrics, may lie in the current folder: a script has its own
    folder on the search path instead. Last, it hides no installed module.
    """
    sys.path.append("")
    app(prog_name="qtool")


if __name__ == "__main__":
    main()
