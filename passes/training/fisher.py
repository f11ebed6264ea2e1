"""Sensitivity by gradients: errors weighted by the diagonal of the Fisher information of the outputs.

With outputs taken as means of unit normal distributions, the Fisher information of a tensor is ``J^T J``, J
being the derivative of the outputs by it. Its diagonal is the mean square of the gradient of ``e . y`` over
random signs e, and ``sum F_ii d_i ** 2`` is the noise at the output that small independent
errors d make: the same unit as measured noise over signal, at the price of a few backward passes for all
tensors and widths together.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import fsum
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import torch
from torch import Tensor

from passes.analysis.sensitivity import SensitivityTable
from passes.api import Analysis, Aspect, PassContext
from passes.execution.collect import CollectActivations
from passes.execution.feed_source import samples_in
from passes.execution.ranges import act_params, weight_params
from passes.ir.plan import Role, TensorQuant
from passes.ir.setup import quantizer_setup
from passes.ir.specs import act_spec, weight_spec
from passes.numerics import RangeMethod, fake_quantize
from passes.training.bridge import Bridge
from passes.training.steps import StepQuantizer
from passes.training.threads import threads

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from passes.execution.session import Feeds
    from passes.ir.layers import Layer
    from passes.ir.model import Model
    from passes.ir.setup import QuantizerSetup
    from passes.ir.tensor_groups import TensorGroup

Quantizers = dict[str, dict[int, StepQuantizer]]
"""Of the sources of every group, by tensor name and width."""


@dataclass(frozen=True)
class Fisher(Analysis[SensitivityTable]):
    """Score every layer at every width by gradients through the PyTorch bridge; needs the extra ``train``.

    Attributes:
        bits: widths to score.
        samples: calibration samples to use.
        batch: samples per backward pass.
        method: range estimator of activations.
        device: ``cpu``, ``cuda`` or ``auto``.
    """

    name: ClassVar[str] = "fisher"
    reads: ClassVar[Aspect] = Aspect.GRAPH | Aspect.WEIGHTS
    bits: tuple[int, ...] = (2, 3, 4, 5, 6, 7, 8)
    samples: int = 64
    batch: int = 8
    method: RangeMethod = RangeMethod.MSE
    device: str = "cpu"

    def run(self, model: Model, ctx: PassContext) -> SensitivityTable:
        """Sum squared gradients over the samples.

        Raises:
            ModelError: the graph has nodes that the bridge cannot run; the message names them.
        """
        setup = quantizer_setup(model.graph, ctx.target)
        bridge = Bridge.of(model.graph, self.device)
        quantizers = self._quantizers(setup, model, ctx, bridge.device)
        sums = _Sums(bridge, setup, quantizers, ctx.rng(self.name))
        with threads(ctx.workers):
            for feeds in ctx.calibration.batches(self.batch, self.samples):
                sums.add(feeds)
                ctx.progress("analyze", sums.samples, self.samples)
        power = sums.power()
        weights = {layer.name: self._weights(layer, setup, sums, power) for layer in setup.layers}
        acts = {layer.name: dict.fromkeys(self.bits, 0.0) for layer in setup.layers}
        for group in setup.groups:
            if group.readers:
                # What a group loses is counted once, at the first of the layers that read it.
                for bits in self.bits:
                    noise = fsum(sums.acts[name][bits] for name in group.sources)
                    acts[group.readers[0]][bits] += noise / power
        return SensitivityTable(self.name, weights, acts)

    def _quantizers(
        self, setup: QuantizerSetup, model: Model, ctx: PassContext, device: torch.device
    ) -> Quantizers:
        stats = ctx.get(CollectActivations(), model)

        def of(group: TensorGroup) -> dict[int, StepQuantizer]:
            specs = {bits: act_spec(bits, setup) for bits in self.bits}
            decided = {
                bits: TensorQuant(Role.ACT, spec, act_params(group, spec, stats, self.method))
                for bits, spec in specs.items()
            }
            return {bits: StepQuantizer(quant, device) for bits, quant in decided.items()}

        return {
            name: found
            for group in setup.groups
            if group.readers
            for found in [of(group)]
            for name in group.sources
        }

    def _weights(self, layer: Layer, setup: QuantizerSetup, sums: _Sums, power: float) -> dict[int, float]:
        if layer.weight is None:
            return {}
        losses = dict.fromkeys(self.bits, 0.0)
        for part in layer.parts:
            values, fisher = part.weight_values(), sums.weights[part.weight.name]  # type: ignore[union-attr]
            for bits in self.bits:
                spec = weight_spec(part, bits, setup)
                error = fake_quantize(values, spec, weight_params(values, spec)).astype(np.float64) - values
                losses[bits] += float((fisher * np.square(error)).sum() / power)
        return losses


class _Sums:
    """Squared gradients and weighted errors, summed over samples.

    Attributes:
        weights: squared gradients, by the name of the constant.
        acts: squared gradients times squared errors, by tensor name and width.
        samples: number of samples so far.
    """

    def __init__(
        self, bridge: Bridge, setup: QuantizerSetup, quantizers: Quantizers, rng: np.random.Generator
    ) -> None:
        self._bridge, self._quantizers, self._rng = bridge, quantizers, rng
        names = [part.weight.name for layer in setup.layers for part in layer.parts]  # type: ignore[union-attr]
        self.weights: dict[str, NDArray[np.float64]] = {
            name: np.zeros(tuple(bridge.constants[name].shape)) for name in names
        }
        self.acts = {name: dict.fromkeys(by_bits, 0.0) for name, by_bits in quantizers.items()}
        self.samples = 0
        self._outputs: list[list[NDArray[np.float64]]] = []

    def add(self, feeds: Feeds) -> None:
        """Run one batch forwards and backwards."""
        leaves = {name: self._bridge.constants[name].detach().requires_grad_() for name in self.weights}
        inputs = {name: torch.from_numpy(np.array(it)).to(self._bridge.device) for name, it in feeds.items()}
        seen = {name: it.requires_grad_() for name, it in inputs.items() if name in self._quantizers}

        def watch(name: str, x: Tensor) -> Tensor:
            if x.requires_grad:
                x.retain_grad()
                seen[name] = x
            return x

        changes = {name: (lambda x, name=name: watch(name, x)) for name in self._quantizers}
        outputs = self._bridge.run({**inputs, **leaves}, changes=changes).values()
        floats = [output for output in outputs if output.is_floating_point() and output.requires_grad]
        torch.autograd.backward(floats, [self._signs(output) for output in floats])
        self._take(leaves, seen)
        self._outputs.append([output.detach().cpu().numpy().astype(np.float64) for output in floats])
        self.samples += samples_in(feeds) or 1

    def power(self) -> float:
        """Return the power of the outputs around their mean over samples, summed over samples."""
        joined = [np.concatenate(parts) for parts in zip(*self._outputs, strict=True)]
        return max(fsum(float(np.square(it - it.mean(axis=0)).sum()) for it in joined), 1e-30)

    def _signs(self, output: Tensor) -> Tensor:
        signs = 2.0 * self._rng.integers(0, 2, tuple(output.shape)) - 1.0
        return torch.from_numpy(signs).to(output.device, output.dtype)

    def _take(self, leaves: Mapping[str, Tensor], seen: Mapping[str, Tensor]) -> None:
        for name, leaf in leaves.items():
            if leaf.grad is not None:
                self.weights[name] += np.square(leaf.grad.cpu().numpy().astype(np.float64))
        with torch.no_grad():
            for name, x in seen.items():
                if x.grad is None:
                    continue
                for bits, quantizer in self._quantizers[name].items():
                    self.acts[name][bits] += float((x.grad * (quantizer(x) - x)).square().sum())
