"""Finds machines: built-in ones and those of installed packages by name, others by their file."""

from __future__ import annotations

from collections.abc import Callable
from difflib import get_close_matches
from importlib import resources
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import TYPE_CHECKING

from hwmodels.errors import HardwareError, SpecError, UnknownTargetError
from hwmodels.machines.bismo import Bismo
from hwmodels.machines.bitfusion import BitFusion
from hwmodels.machines.bitfusion_sim import BitFusionSim
from hwmodels.machines.generic import Generic
from hwmodels.machines.lookup import LookupMachine
from hwmodels.machines.measured import Measured
from hwmodels.machines.microcontroller import Microcontroller
from hwmodels.machines.npu import Npu
from hwmodels.machines.processor import Processor
from hwmodels.machines.silago import Silago
from hwmodels.machines.systolic import Systolic
from hwmodels.machines.tensorcore import TensorCore
from hwmodels.model import HardwareModel
from hwmodels.spec import HardwareSpec, read_spec

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

BUILTIN = (
    "arm-dotprod",
    "bismo-cloud",
    "bismo-edge",
    "bitfusion",
    "bitfusion-server",
    "bitfusion-sim",
    "cortex-m4",
    "cortex-m55",
    "eyeriss",
    "generic",
    "hexagon-like",
    "silago",
    "systolic-32",
    "tensorcore-h100",
    "tensorcore-t4",
    "x86-avx2",
    "x86-avx512-vnni",
)
"""The machines that come with the package, one file each in ``specs/``."""

ENTRY_POINTS = "qtool.hwmodels"
"""The group in which packages offer machines: a target name and a callable that returns a `HardwareModel`."""

_ARCHITECTURES: tuple[tuple[str, Callable[[HardwareSpec], HardwareModel]], ...] = (
    ("bismo", Bismo.from_spec),
    ("bitfusion", BitFusion.from_spec),
    ("bitfusion-sim", BitFusionSim.from_spec),
    ("generic", Generic.from_spec),
    ("lookup", LookupMachine.from_spec),
    ("measured", Measured.from_spec),
    ("microcontroller", Microcontroller.from_spec),
    ("npu", Npu.from_spec),
    ("processor", Processor.from_spec),
    ("silago", Silago.from_spec),
    ("systolic", Systolic.from_spec),
    ("tensorcore", TensorCore.from_spec),
)


def target_names() -> tuple[str, ...]:
    """Return the names of all built-in and installed machines, sorted, without loading any.

    Raises:
        HardwareError: two machines have the same name.
    """
    return tuple(sorted((*BUILTIN, *_installed())))


def load_target(target: str) -> HardwareModel:
    """Load one machine.

    Args:
        target: a name out of `target_names`, or the path of a machine file that ends with ``.toml``.

    Raises:
        UnknownTargetError: no machine has this name.
        SpecError: the machine file is damaged or missing.
        HardwareError: two machines have the same name, or an installed one cannot be loaded.
    """
    if target.endswith(".toml"):
        return _from_file(Path(target))
    installed = _installed()
    if target in BUILTIN:
        return _from_file(resources.files("hwmodels") / "specs" / f"{target}.toml")
    if target in installed:
        return _from_entry_point(installed[target])
    names = target_names()
    near = get_close_matches(target, names, n=3, cutoff=0.5)
    hint = (
        f"did you mean {', '.join(near)}?"
        if near
        else f"known: {', '.join(names)}, or the path of a .toml file"
    )
    raise UnknownTargetError(f"unknown target {target[:80]!r}; {hint}")


def describe_target(name: str) -> str:
    """Return what a built-in machine is, in one line; nothing for an installed one, which is not loaded.

    Raises:
        SpecError: the machine file is damaged.
    """
    if name not in BUILTIN:
        return ""
    return read_spec(resources.files("hwmodels") / "specs" / f"{name}.toml").machine.description


def _from_file(path: Path | Traversable) -> HardwareModel:
    spec = read_spec(path)
    architectures = dict(_ARCHITECTURES)
    build = architectures.get(spec.machine.architecture)
    if build is None:
        expected, found = f"one of {', '.join(architectures)}", f"{spec.machine.architecture[:60]!r}"
        raise SpecError(f"{spec.file}: [machine] architecture: expected {expected}, found {found}")
    return build(spec)


def _installed() -> dict[str, EntryPoint]:
    found: dict[str, EntryPoint] = {}
    for point in entry_points(group=ENTRY_POINTS):
        if point.name in BUILTIN or point.name in found:
            first = _origin(found[point.name]) if point.name in found else "the built-in machine"
            both = f"{first} and {_origin(point)}"
            raise HardwareError(f"target {point.name!r} is offered by {both}; uninstall one of them")
        found[point.name] = point
    return found


def _origin(point: EntryPoint) -> str:
    return f"{point.value} of {point.dist.name if point.dist else 'an unknown package'}"


def _from_entry_point(point: EntryPoint) -> HardwareModel:
    try:
        build = point.load()
    except (ImportError, AttributeError) as error:
        raise HardwareError(f"target {point.name!r}: {_origin(point)} cannot be imported: {error}") from error
    model = build() if callable(build) else build
    if not isinstance(model, HardwareModel):
        raise HardwareError(
            f"target {point.name!r}: {_origin(point)} must be a callable that returns a HardwareModel, "
            f"found {type(model).__name__}"
        )
    return model
