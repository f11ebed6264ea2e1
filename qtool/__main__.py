"""``python -m qtool``, and the script that an installation puts on the path."""

from __future__ import annotations

from qtool.cli.main import app


def main() -> None:
    """Run the command line and leave with its exit code."""
    app(prog_name="qtool")


if __name__ == "__main__":
    main()
