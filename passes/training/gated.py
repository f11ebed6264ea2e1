"""A model whose bits are learned: gates for its weights and activations, and what they cost."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from hwmodels import Precision, price_table
from passes.analysis.cost import Costs
from passes.analysis.workloads import Workloads
from passes.errors import UsageError
from passes.execution.collect import CollectActivations
from passes.execution.scale_memo import ScaleMemos
from passes.ir.plan import LayerBits
from passes.ir.tables import may_have_levels, with_free_levels
from passes.ir.weights import quantized_weight
from passes.ir.widened_workload import tabled_workload
from passes.numerics import PerGroup, RangeMethod
from passes.numerics.levels import CODE_BITS
from passes.training.gated_step import GatedStep
from passes.training.gated_weight import GatedWeight
from passes.training.gates import Gates
from passes.training.lsq_weight import LARGEST_CHANGE
from passes.training.resource import GatedLayer
from passes.training.tunables import least_scale

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.typing import NDArray
    from torch import Tensor

    from hwmodels import HardwareModel, Metric, Workload
    from passes.api import PassContext
    from passes.ir.layers import Layer
    from passes.ir.model import Model
    from passes.ir.plan import QuantPlan, TensorQuant
    from passes.ir.tensor_groups import TensorGroup
    from passes.training.bridge import Values
    from passes.training.simulation import Simulation


@dataclass(frozen=True, slots=True)
class Gated:
    """What is learned in a model, at the widths and values of its plan to start with.

    Attributes:
        weights: by the name of the constant.
        steps: quantizers of activations, by the name of their group.
        layers: all layers with their gates and prices.
        simulation: the model; its other constants stay as they are.
    """

    weights: dict[str, GatedWeight]
    steps: dict[str, GatedStep]
    layers: tuple[GatedLayer, ...]
    simulation: Simulation

    @property
    def gates(self) -> dict[str, Gates]:
        """All gates that are learned, by a name that says where, each once."""
        found = {f"weight of {layer.name}": layer.weight for layer in self.layers}
        found |= {f"activation {name}": step.gates for name, step in self.steps.items()}
        once = {id(gates): (name, gates) for name, gates in found.items() if len(gates.widths) > 1}
        return dict(once.values())

    def constants(self) -> Values:
        """Return all constants as they are stored, differentiable."""
        weights = {name: weight.value() for name, weight in self.weights.items()}
        return self.simulation.constants | weights

    def parameters(self) -> dict[str, Tensor]:
        """Return everything that is trained, by name, in one order."""
        found = {f"gates of {name}": gates.free for name, gates in self.gates.items()}
        for name, weight in self.weights.items():
            found |= {f"{key} of {name}": it for key, it in weight.parameters().items()}
        return found | {f"step of {name}": step.shift for name, step in self.steps.items()}

    def decide(self) -> None:
        """Open and close all gates."""
        for gates in self.gates.values():
            gates.decide()

    def bound(self) -> None:
        """Keep the parameters of gates within their window."""
        for gates in self.gates.values():
            gates.bound()

    def settle(self) -> None:
        """Fix the bits as they are."""
        for gates in self.gates.values():
            gates.decide()
            gates.settle()

    def bits(self) -> dict[str, Precision]:
        """Return the precision of every layer."""
        return {layer.name: layer.precision for layer in self.layers}

    def tables(self) -> dict[str, int]:
        """Return the bits of the indices of layers whose weights have tables."""
        return {layer.name: layer.index_bits for layer in self.layers if layer.index_bits}

    def weight_bits(self) -> float:
        """Return the mean bits of the weights that are learned; 0 where there are none."""
        total = sum(weight.count for weight in self.weights.values())
        return sum(weight.count * weight.gates.bits for weight in self.weights.values()) / max(total, 1)

    def written(self, plan: QuantPlan) -> QuantPlan:
        """Return the plan with what was learned."""
        layers = plan.layers | {it.name: LayerBits(it.op, it.precision) for it in self.layers}
        tensors = plan.tensors | {name: weight.decision() for name, weight in self.weights.items()}
        for group in self.simulation.setup.groups:
            if group.name in self.steps:
                tensors |= dict.fromkeys(group.members, self.steps[group.name].decision())
        return replace(plan, layers=layers, tensors=tensors)


def gated(
    model: Model,
    ctx: PassContext,
    simulation: Simulation,
    *,
    acts: bool = True,
    free: float | None = None,
) -> Gated:
    """Put gates on the weights and activations of a simulation.

    What stays at its bits: weights with scales of groups, with tables or made of points, activations that are
    a result of the model, that no layer multiplies, or that meet another activation in a product, and layers
    in floating point.

    Args:
        model: its plan has scales.
        ctx: with calibration data, which tell where the steps of other widths begin.
        simulation: of the model; its quantizers are replaced.
        acts: whether activations have gates, too, and steps that are learned.
        free: levels of weights of fewer than 8 bits are free, with this correction of their gradient, as for
            `passes.training.level_table.LevelTable`; ``None``: they are uniform.
    """
    maker = _Maker(model, ctx, simulation, acts, free)
    layers = simulation.setup.layers
    act_gates = {group.name: maker.act_gates(group) for group in simulation.setup.groups if group.readers}
    steps = {}
    for group in simulation.setup.groups:
        if group.name in act_gates and len(act_gates[group.name].widths) > 1:
            steps[group.name] = step = maker.step(group, act_gates[group.name])
            simulation.steps.update(dict.fromkeys(group.members, step))
    groups, weights, found = simulation.setup.group_of(), dict[str, GatedWeight](), []
    for layer in layers:
        shared = [weights[it.weight_name].gates for it in layer.parts if it.weight_name in weights]
        gates = shared[0] if shared else maker.weight_gates(layer)
        for part in layer.parts if len(gates.widths) > 1 else ():
            if part.weight_name not in weights:
                weights[part.weight_name] = maker.weight(layer, part, gates)
        act = act_gates[groups[layer.act.name].name]
        prices, tabled = maker.prices(layer, gates, act), free is not None and len(gates.widths) > 1
        found.append(GatedLayer(layer.name, layer.op, gates, act, prices, tabled))
    learned: Iterable[Gates | GatedStep] = (*steps.values(), *(step.gates for step in steps.values()))
    for it in (*learned, *(weight.gates for weight in weights.values())):
        it.learn()
    return Gated(weights, steps, tuple(found), simulation)


def check_choice(source: str, parts: Gated, target: HardwareModel) -> None:
    """Check that there are bits to learn.

    Raises:
        UsageError: nothing can have fewer bits than in the plan.
    """
    if not parts.gates:
        raise UsageError(
            f"{source}: on {target.name} no weight or activation can have fewer bits than in the plan; "
            "begin with more, as in uniform=w8a8, or choose a target with more widths"
        )


@dataclass(frozen=True, slots=True)
class _Maker:
    """Makes gates and quantizers of one model."""

    model: Model
    ctx: PassContext
    simulation: Simulation
    acts: bool
    free: float | None

    def weight_gates(self, layer: Layer) -> Gates:
        used = self.model.plan.layers[layer.name].precision.weight_bits
        quants = [self.model.plan.tensors[part.weight_name] for part in layer.parts]
        fixed = not quants or any(
            it.points is not None
            or it.levels is not None
            or isinstance(it.spec.granularity, PerGroup)
            or (self.free is not None and not may_have_levels(it))
            for it in quants
        )
        offered = () if fixed else self._offered(layer.name)
        return self._gates(used, {pair.weight_bits for pair in offered})

    def act_gates(self, group: TensorGroup) -> Gates:
        layers = {layer.name: layer for layer in self.simulation.setup.layers}
        used = self.model.plan.tensors[group.name].spec.format.bits
        fixed = not self.acts or group.is_output or any(not layers[name].parts for name in group.readers)
        offered = [{pair.act_bits for pair in self._offered(name)} for name in group.readers]
        return self._gates(used, set() if fixed else set.intersection(*offered))

    def weight(self, layer: Layer, part: Layer, gates: Gates) -> GatedWeight:
        quant = self.model.plan.tensors[part.weight_name]
        memo, values = self.ctx.get(ScaleMemos(), self.model), part.weight_values()
        # A step is never finer than that of more bits, which leaves room for the bias.
        finest = quant.params.scale.astype(np.float64)  # type: ignore[union-attr]
        quants = []
        for bits in gates.widths[:-1]:
            spec = replace(quant.spec, format=replace(quant.spec.format, bits=bits))
            params = memo.weight(part, spec, RangeMethod.MSE, finest)
            quants.append(replace(quant, spec=spec, params=params, codes=None))
        least, quants = least_scale(layer, self.model.plan, quant), [*quants, quant]
        if self.free is not None:
            quants = [with_free_levels(values, it, least * LARGEST_CHANGE) for it in quants]
        codes = quantized_weight(part, quants[-1])
        return GatedWeight(values, quants, codes, least, gates, self.free or 0.0)

    def step(self, group: TensorGroup, gates: Gates) -> GatedStep:
        quant = self.model.plan.tensors[group.name]
        stats = self.ctx.get(CollectActivations(), self.model)
        memo = self.ctx.get(ScaleMemos(), self.model)
        quants: list[TensorQuant] = []
        for bits in gates.widths[:-1]:
            spec = replace(quant.spec, format=replace(quant.spec.format, bits=bits))
            quants.append(replace(quant, spec=spec, params=memo.act(group, spec, stats, RangeMethod.MSE)))
        step = GatedStep((*quants, quant), gates)
        step.reach = LARGEST_CHANGE
        return step

    def prices(self, layer: Layer, weight: Gates, act: Gates) -> Mapping[str, NDArray[np.float64]]:
        work = self.ctx.get(Workloads(), self.model)[layer.name]
        rows = [self._row(work, bits, act, len(weight.widths) > 1) for bits in weight.widths]
        return {metric.value: np.stack([row[metric][0] for row in rows]) for metric in rows[0]}

    def _row(
        self, work: Workload, bits: int, act: Gates, learned: bool
    ) -> Mapping[Metric, NDArray[np.float64]]:
        """Return the prices of a layer with weights of some bits, at all widths of its activation."""
        if learned and self.free is not None and bits < CODE_BITS:
            work, bits = tabled_workload(work, bits), CODE_BITS
        return price_table(self.ctx.target, [work], [Precision(bits, it) for it in act.widths])

    def _offered(self, name: str) -> Iterable[Precision]:
        return self.ctx.get(Costs(), self.model).layers[name]

    def _gates(self, used: int, offered: set[int]) -> Gates:
        narrower = sorted(bits for bits in offered if bits < used)
        return Gates((*narrower, used), self.simulation.bridge.device)
