"""``qtool targets``: the machines there are, and what they cost."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from qtool.cli import options
from qtool.cli.render import show

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hwmodels import HardwareModel, Precision, Workload

NAME = Annotated[
    str, typer.Argument(help="A name of `qtool targets list`, or a .toml file.", show_default=False)
]
SPEC = Annotated[Path, typer.Argument(help="A machine file (.toml).", show_default=False)]
LAYERS = Annotated[Path, typer.Option(help="CSV: layer,kernel,out_size,stride,in_ch,out_ch[,groups].")]
PRECISION = Annotated[str, typer.Option(help="Bits of weights and activations, such as w8a8.")]
BATCH = Annotated[int, typer.Option(min=1, help="Images.")]


def list_targets(
    json: options.JSON = False, quiet: options.QUIET = False, debug: options.DEBUG = False
) -> None:
    """List the machines that come with the tool or are installed."""
    from hwmodels import load_target, target_names
    from hwmodels.registry import describe_target

    rows = [
        {"name": name, "estimates": _estimates(load_target(name)), "description": describe_target(name)}
        for name in target_names()
    ]
    show({"targets": rows}, as_json=json, quiet=quiet)


def show_target(
    target: NAME, json: options.JSON = False, quiet: options.QUIET = False, debug: options.DEBUG = False
) -> None:
    """Show what a machine estimates, how it computes, and at which precisions it runs layers."""
    from hwmodels import load_target
    from hwmodels.testing import samples

    machine = load_target(target)
    document = _outline(machine) | {
        "additive": sorted(machine.additive),
        "shared_parameter_ops": sorted(machine.shared_parameter_ops),
        "rules": [{"layer": work.name} | _rules(machine, work) for work in samples(machine)],
    }
    show(document, as_json=json, quiet=quiet)


def check_target(
    file: SPEC, json: options.JSON = False, quiet: options.QUIET = False, debug: options.DEBUG = False
) -> None:
    """Check a machine file: its syntax, units and sources, and that its prices make sense.

    A broken promise is an error; prices that no real machine is likely to have are listed as remarks.
    """
    from hwmodels import load_target
    from hwmodels.plausibility import implausible
    from hwmodels.testing import check_hardware_model
    from passes.errors import UsageError

    if file.suffix != ".toml":
        raise UsageError(f"{file}: expected a machine file whose name ends with .toml")
    machine = load_target(str(file))
    check_hardware_model(machine)
    remarks = [{"remark": remark} for remark in implausible(machine)]
    document = {"target": machine.name, "file": str(file), "valid": True, "implausible": remarks}
    show(document, as_json=json, quiet=quiet)


def price_target(  # noqa: PLR0913 - one parameter per option
    target: NAME,
    *,
    layers: LAYERS,
    precision: PRECISION = "w8a8",
    batch: BATCH = 1,
    json: options.JSON = False,
    quiet: options.QUIET = False,
    debug: options.DEBUG = False,
) -> None:
    """Price a list of layers at one precision."""
    from hwmodels import load_target
    from passes.allocation.quantities import parse_precision
    from qtool.layer_list import read_layers
    from qtool.price import price_layers

    pair, machine = parse_precision(precision, "--precision"), load_target(target)
    show(price_layers(machine, read_layers(layers, batch), pair), as_json=json, quiet=quiet)


def _estimates(machine: HardwareModel) -> str:
    from passes.allocation.quantities import METRICS

    return " ".join(word for word, metric in METRICS.items() if metric in machine.metrics)


def _rules(machine: HardwareModel, work: Workload) -> dict[str, Any]:
    from hwmodels import UnsupportedError

    try:
        rules = machine.rules(work)
    except UnsupportedError:
        return {"pairs": "not run"}
    return {
        "pairs": _pairs(rules.precisions),
        "weight_scales": " ".join(rules.granularities),
        "activations": "symmetric" if rules.symmetric_acts else "any",
        "scales": "powers of two" if rules.power_of_two_scales else "any",
    }


def _pairs(pairs: Sequence[Precision]) -> str:
    """List pairs, or the widths of either side where all combinations are there."""
    from hwmodels import FLOAT

    if FLOAT in pairs:
        return f"{_pairs([pair for pair in pairs if pair != FLOAT])} float"
    weights, acts = ({pair.weight_bits for pair in pairs}, {pair.act_bits for pair in pairs})
    if len(pairs) < max(len(weights) * len(acts), 4):
        return " ".join(str(pair) for pair in pairs)
    return f"w{_words(weights)} x a{_words(acts)}"


def _words(bits: set[int]) -> str:
    return ",".join(str(width) for width in sorted(bits))


def _outline(machine: HardwareModel) -> dict[str, Any]:
    return {
        "name": machine.name,
        "metrics": ", ".join(sorted(machine.metrics)),
        "requantization": machine.requantization,
        "rounding": machine.rounding,
        "accumulator_bits": machine.accumulator_bits,
    }
