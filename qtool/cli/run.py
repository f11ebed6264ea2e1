"""``qtool run``: the integer runtime on arrays from a file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from qtool.cli import options
from qtool.cli.render import show

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

ARTIFACT = Annotated[Path, typer.Argument(help="A .qpk file.", show_default=False)]
INPUT = Annotated[Path, typer.Option("--input", help="An .npz file with one array per input.")]


def run(
    artifact: ARTIFACT,
    *,
    input_: INPUT,
    out: options.FILE,
    json: options.JSON = False,
    quiet: options.QUIET = False,
    debug: options.DEBUG = False,
) -> None:
    """Run a packed artifact on integers."""
    import numpy as np

    from passes.artifact import Artifact
    from qtool.files import replacing
    from qtool.output_folder import check_output_file
    from qtool.runtime import Engine

    check_output_file(out)
    program = Artifact.load(artifact)
    outputs = Engine(program).run(read_inputs(input_, program.inputs))
    with replacing(out) as temporary, temporary.open("wb") as stream:
        np.savez(stream, allow_pickle=False, **outputs)
    show({name: list(array.shape) for name, array in outputs.items()}, as_json=json, quiet=quiet)


def read_inputs(path: Path, names: Sequence[str]) -> dict[str, NDArray[Any]]:
    """Read one array per graph input; a single input may be called ``x``.

    Raises:
        DataError: the file cannot be read, or an input has no array.
    """
    from passes.errors import DataError
    from passes.execution.npz import read_npz

    arrays = read_npz(path)
    if len(names) == 1 and names[0] not in arrays and "x" in arrays:
        return {names[0]: arrays["x"]}
    missing = [name for name in names if name not in arrays]
    if missing:
        found = ", ".join(sorted(arrays)) or "none"
        raise DataError(f"{path}: expected an array for each input {', '.join(names)}, found {found}")
    return {name: arrays[name] for name in names}
