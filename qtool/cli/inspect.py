"""``qtool inspect``: what is in a model."""

from __future__ import annotations

from qtool.cli import options
from qtool.cli.render import show


def inspect(
    model: options.MODEL,
    *,
    shape: options.SHAPE = None,
    json: options.JSON = False,
    quiet: options.QUIET = False,
    debug: options.DEBUG = False,
) -> None:
    """Show layers, sizes, and what cannot be quantized."""
    from passes.allocation.quantities import parse_shapes
    from qtool.inspect import inspect_model

    show(inspect_model(model, parse_shapes(shape or ())), as_json=json, quiet=quiet)
