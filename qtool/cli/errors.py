"""From exceptions to messages and exit codes: the only place where they meet."""

from __future__ import annotations

import sys
import traceback
from typing import Any

import typer
from typer.core import TyperCommand

BUG, UNUSABLE = 1, 3


class Command(TyperCommand):
    """A command that ends with the exit code of the error it raises; ``--debug`` adds the traceback."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command.

        Raises:
            typer.Exit: with the exit code, when the message has been written.
        """
        try:
            return super().invoke(ctx)
        except (typer.Exit, typer.Abort, BrokenPipeError):
            raise
        # The boundary of the program: whatever has not been foreseen is reported as a bug.
        except Exception as error:
            if ctx.params.get("debug"):
                traceback.print_exc(file=sys.stderr)
            _tell(describe(error))
            raise typer.Exit(exit_code(error)) from error


def exit_code(error: Exception) -> int:
    """Return the exit code of an error: its own, 3 for files that cannot be read or written, else 1."""
    from hwmodels.errors import HardwareError
    from passes.errors import QtoolError

    if isinstance(error, QtoolError | HardwareError):
        return error.exit_code
    return UNUSABLE if isinstance(error, OSError | MemoryError) else BUG


def describe(error: Exception) -> str:
    """Return the message for people: what was wrong, and the notes that were added on the way."""
    notes = "".join(f"\n({note})" for note in getattr(error, "__notes__", ()))
    if isinstance(error, OSError):
        return f"{error.filename or 'a file'} cannot be read or written: {error.strerror or error}{notes}"
    if isinstance(error, MemoryError):
        return f"out of memory; take fewer --samples{notes}"
    if exit_code(error) == BUG:
        found = f"{type(error).__name__}: {error}"
        return f"this is a bug in qtool, please report it with the output of --debug\n{found}{notes}"
    return f"{error}{notes}"


def _tell(message: str) -> None:
    head = typer.style("error:", fg=typer.colors.RED, bold=True)
    typer.echo(f"{head} {message}", err=True)
