"""``--verbose`` and ``--log-file``: what happens step by step, on the terminal and in a file."""

from __future__ import annotations

import inspect
import logging
import sys
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from qtool import __version__

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

LOG = logging.getLogger("qtool")
"""The logger of the tool and of the compiler; silent until a handler is added."""
VERBOSE = Annotated[
    bool, typer.Option("--verbose", "-v", help="Tell what every step did, and how long it took.")
]
LOG_FILE = Annotated[
    Path | None, typer.Option("--log-file", help="Write all of that, and tracebacks, into this file.")
]

_FILE_FORMAT = "%(asctime)s %(levelname)-7s %(message)s"
_OPTIONS = {"verbose": (VERBOSE, False), "log_file": (LOG_FILE, None)}


def logged(function: Callable[..., None]) -> Callable[..., None]:
    """Return a command with the options ``--verbose`` and ``--log-file`` besides its own."""

    @wraps(function)
    def run(*args: Any, verbose: bool = False, log_file: Path | None = None, **options: Any) -> None:
        with logging_to(verbose=verbose, file=log_file):
            function(*args, **options)

    # The wrapper stands in another module, where the names in the annotations mean nothing.
    own = inspect.signature(function, eval_str=True)
    more = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=kind)
        for name, (kind, default) in _OPTIONS.items()
    ]
    run.__signature__ = own.replace(parameters=[*own.parameters.values(), *more])  # type: ignore[attr-defined]
    run.__annotations__ = inspect.get_annotations(function, eval_str=True) | {
        name: kind for name, (kind, _) in _OPTIONS.items()
    }
    return run


@contextmanager
def logging_to(*, verbose: bool, file: Path | None) -> Iterator[None]:
    """Send messages to standard error, to a file, to both or to nowhere; what goes wrong is logged as well.

    Raises:
        OSError: the file cannot be written.
    """
    handlers: list[logging.Handler] = [_Terminal(logging.INFO)] if verbose else []
    if file is not None:
        handlers.append(logging.FileHandler(file, mode="w", encoding="utf-8"))
        handlers[-1].setFormatter(logging.Formatter(_FILE_FORMAT))
    level = LOG.level
    LOG.setLevel(logging.DEBUG if handlers else logging.CRITICAL)
    for handler in handlers:
        LOG.addHandler(handler)
    try:
        LOG.debug("qtool %s: %s", __version__, " ".join(sys.argv[1:]))
        yield
    except Exception as error:
        LOG.debug("ended by %s", type(error).__name__, exc_info=not isinstance(error, typer.Exit))
        raise
    finally:
        LOG.setLevel(level)
        for handler in handlers:
            LOG.removeHandler(handler)
            handler.close()


class _Terminal(logging.Handler):
    """Writes to what is standard error at that moment: progress bars take its place for a while."""

    def emit(self, record: logging.LogRecord) -> None:
        typer.echo(self.format(record), err=True)
