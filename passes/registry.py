"""Finds passes and analyses: built-in ones, those of installed packages, and those of ``--plugin`` modules.

Names are listed without importing anything; a class is imported when it is asked for.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from passes.api import Analysis, Pass
from passes.errors import UsageError, unknown_name

BUILTIN: tuple[tuple[str, str], ...] = (
    ("canonicalize", "passes.transform.canonicalize:Canonicalize"),
    ("fold-batchnorm", "passes.transform.fold_batchnorm:FoldBatchNorm"),
    ("equalize", "passes.transform.equalize:Equalize"),
    ("absorb-bias", "passes.transform.absorb_bias:AbsorbBias"),
    ("split-channels", "passes.transform.split_channels:SplitChannels"),
    ("split-norms", "passes.transform.split_norms:SplitNorms"),
    ("smooth", "passes.transform.smooth:Smooth"),
    ("allocate", "passes.allocation.allocate:Allocate"),
    ("assign-scales", "passes.transform.assign_scales:AssignScales"),
    ("fit-levels", "passes.transform.fit_levels:FitLevels"),
    ("multipoint", "passes.transform.multipoint:Multipoint"),
    ("gptq", "passes.transform.gptq:Gptq"),
    ("bias-correction", "passes.transform.bias_correction:BiasCorrection"),
    ("reconstruct", "passes.transform.reconstruct:Reconstruct"),
    ("distill", "passes.transform.distill:Distill"),
    ("ddq", "passes.allocation.ddq:Ddq"),
    ("amed", "passes.allocation.amed:Amed"),
    ("bsq", "passes.allocation.bsq:Bsq"),
    ("msq", "passes.allocation.msq:Msq"),
    ("finetune", "passes.transform.finetune:Finetune"),
    ("lower", "passes.lowering.lower:Lower"),
)
"""The passes that come with the package, in the order of a pipeline: name, ``module:Class``."""

ANALYSES: tuple[tuple[str, str], ...] = (
    ("activations", "passes.execution.collect:CollectActivations"),
    ("float-safety", "passes.analysis.float_safety:FloatSafetyTable"),
)
"""The analyses that can be asked for by name: name, ``module:Class``."""

ENTRY_POINTS = "qtool.passes"
"""The group in which packages offer passes: the name of the pass and its class."""

_plugins: dict[str, type[Pass]] = {}


def pass_names() -> tuple[str, ...]:
    """Return the names of all passes, sorted, without importing any.

    Raises:
        UsageError: two passes have the same name.
    """
    return tuple(sorted((*dict(BUILTIN), *_plugins, *_installed())))


def find_pass(name: str) -> type[Pass]:
    """Return the class of a pass.

    Raises:
        UsageError: no pass has this name, two have it, or an installed one cannot be used.
    """
    installed = _installed()
    if name in dict(BUILTIN):
        found = _load(dict(BUILTIN)[name])
    elif name in _plugins:
        found = _plugins[name]
    elif name in installed:
        found = _from_entry_point(installed[name])
    else:
        raise unknown_name("pass", name[:80], pass_names())
    return _checked(found, name)


def analysis_names() -> tuple[str, ...]:
    """Return the names of all analyses, sorted."""
    return tuple(sorted(dict(ANALYSES)))


def find_analysis(name: str) -> type[Analysis[Any]]:
    """Return the class of an analysis.

    Raises:
        UsageError: no analysis has this name.
    """
    if name not in dict(ANALYSES):
        raise unknown_name("analysis", name[:80], analysis_names())
    found: type[Analysis[Any]] = _load(dict(ANALYSES)[name])
    return found


def load_plugin(module: str) -> tuple[str, ...]:
    """Import a module of unpackaged code and offer the passes that it defines.

    Args:
        module: dotted name of a module on Python's search path.

    Returns:
        The names of its passes; loading a module twice changes nothing.

    Raises:
        UsageError: the module cannot be imported or defines no pass, or a name is taken.
    """
    try:
        loaded = import_module(module)
    except (ImportError, SyntaxError, ValueError) as error:
        raise UsageError(f"plugin {module!r} cannot be imported: {error}") from error
    found = {value.name: value for value in vars(loaded).values() if _is_pass(value, loaded.__name__)}
    if not found:
        raise UsageError(
            f"plugin {module!r} defines no pass; expected a subclass of passes.api.Pass with a name"
        )
    for name, pass_class in found.items():
        if (other := _taken(name)) and _plugins.get(name) is not pass_class:
            raise UsageError(
                f"pass {name!r} is offered by {other} and by plugin {module}; rename one of them"
            )
    _plugins.update(found)
    return tuple(found)


def _taken(name: str) -> str:
    """Say who offers a pass of this name already; empty when nobody does."""
    if name in dict(BUILTIN):
        return "the built-in pass"
    if name in _plugins:
        return f"plugin {_plugins[name].__module__}"
    return _origin(_installed()[name]) if name in _installed() else ""


def _is_pass(value: object, module: str) -> bool:
    """True for a concrete pass that is defined, not merely imported, in the module."""
    concrete = isinstance(value, type) and issubclass(value, Pass) and not value.__abstractmethods__
    return concrete and value.__module__ == module and hasattr(value, "name")


def _installed() -> dict[str, EntryPoint]:
    found: dict[str, EntryPoint] = {}
    for point in entry_points(group=ENTRY_POINTS):
        if point.name in dict(BUILTIN) or point.name in found:
            first = _origin(found[point.name]) if point.name in found else "the built-in pass"
            raise UsageError(
                f"pass {point.name!r} is offered by {first} and {_origin(point)}; uninstall one of them"
            )
        found[point.name] = point
    return found


def _origin(point: EntryPoint) -> str:
    return f"{point.value} of {point.dist.name if point.dist else 'an unknown package'}"


def _load(location: str) -> Any:
    module, _, name = location.partition(":")
    return getattr(import_module(module), name)


def _from_entry_point(point: EntryPoint) -> Any:
    try:
        return point.load()
    except (ImportError, AttributeError, SyntaxError) as error:
        raise UsageError(f"pass {point.name!r}: {_origin(point)} cannot be imported: {error}") from error


def _checked(found: Any, name: str) -> type[Pass]:
    if not (isinstance(found, type) and issubclass(found, Pass)):
        raise UsageError(f"pass {name!r}: expected a subclass of passes.api.Pass, found {found!r:.80}")
    if getattr(found, "name", None) != name:
        raise UsageError(
            f"pass {name!r}: its class {found.__qualname__} calls itself otherwise; make both equal"
        )
    return found
