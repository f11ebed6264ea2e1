"""The networks in PyTorch, and its two exporters: the tracing one of TorchScript, and dynamo's."""

from __future__ import annotations

import io
import warnings
from functools import cache
from typing import Any

import onnx
import torch
from torch import Tensor, nn
from torch.nn import functional
from zoo_networks import Network, network


class Cnn(nn.Module):
    """A strided convolution, a depthwise and a pointwise one, with batch normalizations."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.stem_norm = nn.Conv2d(3, 8, 3, 2, 1, bias=False), nn.BatchNorm2d(8)
        self.depthwise = nn.Conv2d(8, 8, 3, padding=1, groups=8, bias=False)
        self.depthwise_norm = nn.BatchNorm2d(8)
        self.pointwise, self.head = nn.Conv2d(8, 12, 1), nn.Linear(12, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.relu(self.stem_norm(self.stem(x)))
        x = functional.relu6(self.depthwise_norm(self.depthwise(x)))
        x = functional.relu(self.pointwise(x))
        return self.head(functional.adaptive_avg_pool2d(x, 1).flatten(1))


class Residual(nn.Module):
    """A block with a convolution in its shortcut, and a product over all places."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.first = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 8, 3, 2, 1)
        self.second, self.shortcut = nn.Conv2d(8, 8, 3, padding=1), nn.Conv2d(8, 8, 1, 2)
        self.head = nn.Linear(72, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.max_pool2d(functional.relu(self.stem(x)), 2)
        x = functional.relu(self.second(functional.relu(self.first(x))) + self.shortcut(x))
        return self.head(x.flatten(1))


class Transformer(nn.Module):
    """One block, normalized before its two halves, and the mean over the tokens."""

    def __init__(self) -> None:
        super().__init__()
        self.before, self.between = nn.LayerNorm(16), nn.LayerNorm(16)
        self.query, self.key, self.value = nn.Linear(16, 16), nn.Linear(16, 16), nn.Linear(16, 16)
        self.output, self.up, self.down = nn.Linear(16, 16), nn.Linear(16, 32), nn.Linear(32, 16)
        self.head = nn.Linear(16, 5)

    def forward(self, x: Tensor) -> Tensor:
        y = self.before(x)
        heads = [it(y).view(-1, 6, 2, 8).transpose(1, 2) for it in (self.query, self.key, self.value)]
        y = functional.scaled_dot_product_attention(*heads)
        x = x + self.output(y.transpose(1, 2).reshape(-1, 6, 16))
        x = x + self.down(functional.gelu(self.up(self.between(x))))
        return self.head(x.mean(1))


class Lstm(nn.Module):
    """One direction; the last state is read."""

    def __init__(self) -> None:
        super().__init__()
        self.cell, self.head = nn.LSTM(6, 8, batch_first=True), nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.cell(x)[0][:, -1])


class Gru(nn.Module):
    """Both directions; every state is read."""

    def __init__(self) -> None:
        super().__init__()
        self.cell, self.head = nn.GRU(6, 8, batch_first=True, bidirectional=True), nn.Linear(16, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.cell(x)[0])


class Gated(nn.Module):
    """SiLU, HardSwish, and channels weighed by a HardSigmoid."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 8, 3, 2, 1)
        self.squeeze, self.excite, self.head = nn.Conv2d(8, 4, 1), nn.Conv2d(4, 8, 1), nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.hardswish(self.second(functional.silu(self.first(x))))
        y = functional.relu(self.squeeze(functional.adaptive_avg_pool2d(x, 1)))
        x = x * functional.hardsigmoid(self.excite(y))
        return self.head(x.mean((2, 3)))


MODULES = {
    "cnn": Cnn, "residual": Residual, "transformer": Transformer, "lstm": Lstm, "gru": Gru, "gated": Gated
}  # fmt: skip


def module(network: Network) -> nn.Module:
    """Return the network with its weights, ready for inference."""
    made = MODULES[network.name]()
    state = {name: torch.from_numpy(values.copy()) for name, values in network.weights.items()}
    missing = made.load_state_dict(state, strict=False).missing_keys
    assert all(name.endswith("num_batches_tracked") for name in missing)
    return made.eval()


def torchscript(network: Network) -> onnx.ModelProto:
    """Export by tracing."""
    return _traced(network, training=torch.onnx.TrainingMode.EVAL)


def torchscript_old(network: Network) -> onnx.ModelProto:
    """Export by tracing to an opset without LayerNormalization and Gelu, with nothing folded."""
    kept = torch.onnx.TrainingMode.PRESERVE
    return _traced(network, training=kept, do_constant_folding=False, opset_version=14)


def _traced(network: Network, **options: Any) -> onnx.ModelProto:
    file, example = io.BytesIO(), torch.from_numpy(network.inputs(2))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module(network), (example,), file, dynamo=False, input_names=["x"],
            dynamic_axes={"x": {0: "batch"}}, **options,
        )  # fmt: skip
    return onnx.ModelProto.FromString(file.getvalue())


def dynamo(network: Network) -> onnx.ModelProto:
    """Export by `torch.export`, with the exporter's own optimizations."""
    return _exported(network.name)[1]


def dynamo_unoptimized(network: Network) -> onnx.ModelProto:
    """Export by `torch.export`, every operator as it is translated."""
    return _exported(network.name)[0]


@cache
def _exported(name: str) -> tuple[onnx.ModelProto, onnx.ModelProto]:
    """Return one export before and after its optimizations."""
    example = torch.from_numpy(network(name).inputs(2))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            module(network(name)), (example,), dynamo=True, input_names=["x"], optimize=False, verbose=False,
            dynamic_shapes=({0: torch.export.Dim("batch")},),
        )  # fmt: skip
    assert program is not None
    before = program.model_proto
    program.optimize()
    return before, program.model_proto


STYLES = {it.__name__: it for it in (torchscript, torchscript_old, dynamo, dynamo_unoptimized)}
