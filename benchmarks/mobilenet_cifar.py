"""Train a small MobileNetV2 on CIFAR-10, for the benchmarks that fine-tune compact networks.

    python benchmarks/mobilenet_cifar.py --data ../shared/data --out mobilenet_cifar10.onnx [--epochs 16]

Inverted residuals with ReLU6 [arXiv 1801.04381, table 2, made narrower and for pictures of 32 pixels]: 9.7
million multiplications, 168 thousand parameters. Stochastic gradient descent with Nesterov momentum over one
cycle of rates, pictures moved by up to three pixels and mirrored; half an hour on a core. The
model is written with BatchNormalization in it and checked against ONNX Runtime; it is not part of this
repository. Its top-1 is printed.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from passes.execution.blob import decoded, has_blob
from passes.ir.onnx_io import write_proto
from passes.training.augmentation import augmented

if TYPE_CHECKING:
    from numpy.typing import NDArray

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
STEM, HEAD, CLASSES = 24, 192, 10
BLOCKS = ((2, 32, 2), (3, 32, 1), (3, 48, 2), (3, 48, 1), (3, 64, 1), (3, 96, 2), (3, 96, 1))
"""Expansion, channels and stride of every inverted residual."""
BATCH, PEAK_RATE, DECAY, SHIFT = 128, 0.2, 1e-4, 3
TOLERANCE = 1e-3
OPSET, IR_VERSION = 17, 8


class ConvNorm(nn.Sequential):
    """Convolution, batch normalization, and ReLU6 unless it is linear."""

    def __init__(
        self, into: int, out: int, size: int, stride: int = 1, groups: int = 1, linear: bool = False
    ) -> None:
        """Make the layers."""
        conv = nn.Conv2d(into, out, size, stride, size // 2, groups=groups, bias=False)
        super().__init__(conv, nn.BatchNorm2d(out), *([] if linear else [nn.ReLU6()]))
        self.linear = linear


class Inverted(nn.Module):
    """Expand, filter each channel, project; with a shortcut where shapes allow."""

    def __init__(self, into: int, out: int, expansion: int, stride: int) -> None:
        """Make the layers."""
        super().__init__()
        wide = into * expansion
        self.expand, self.filter = ConvNorm(into, wide, 1), ConvNorm(wide, wide, 3, stride, wide)
        self.project, self.short = ConvNorm(wide, out, 1, linear=True), stride == 1 and into == out

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Compute (N, out, H / stride, W / stride)."""
        y: torch.Tensor = self.project(self.filter(self.expand(x)))
        return x + y if self.short else y


class MobileNet(nn.Module):
    """Pictures (N, 3, 32, 32) to logits (N, 10)."""

    def __init__(self) -> None:
        """Make the layers."""
        super().__init__()
        self.stem, into, blocks = ConvNorm(3, STEM, 3), STEM, []
        for expansion, out, stride in BLOCKS:
            blocks.append(Inverted(into, out, expansion, stride))
            into = out
        self.blocks, self.head = nn.Sequential(*blocks), ConvNorm(into, HEAD, 1)
        self.classifier = nn.Linear(HEAD, CLASSES)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Compute logits."""
        found: torch.Tensor = self.classifier(self.head(self.blocks(self.stem(x))).mean((2, 3)))
        return found


def pictures(path: Path) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Return pictures uint8 (N, 32, 32, 3) and labels."""
    with np.load(path) as data:
        arrays = {name: data[name] for name in data.files}
    labels = arrays.pop("labels").astype(np.int64)
    return decoded(arrays, str(path)) if has_blob(arrays) else arrays.popitem()[1], labels


def normalized(batch: NDArray[np.uint8]) -> torch.Tensor:
    """Return float32 (N, 3, 32, 32), channels last in memory."""
    x = (batch.astype(np.float32) / 255 - np.float32(MEAN)) / np.float32(STD)
    return torch.from_numpy(x).permute(0, 3, 1, 2)


def train(images: NDArray[np.uint8], labels: NDArray[np.int64], epochs: int, seed: int) -> MobileNet:
    """Return the trained network, in evaluation mode."""
    torch.manual_seed(seed)
    rng, net = np.random.default_rng(seed), MobileNet().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    steps = len(images) // BATCH * epochs
    optimizer = torch.optim.SGD(net.parameters(), PEAK_RATE, 0.9, weight_decay=DECAY, nesterov=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, PEAK_RATE, total_steps=steps, pct_start=0.2)
    for epoch in range(epochs):
        total, start, order = 0.0, time.process_time(), rng.permutation(len(images))
        for at in range(len(images) // BATCH):
            chosen = order[at * BATCH : (at + 1) * BATCH]
            batch = augmented(images[chosen], SHIFT, True, rng, channels_last=True)
            loss = nn.functional.cross_entropy(net(normalized(batch)), torch.from_numpy(labels[chosen]))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            total += float(loss.detach())
        spent = time.process_time() - start
        print(f"epoch {epoch + 1}: loss {total / (at + 1):.3f}, {spent:.0f} s of processor time", flush=True)
    return net.eval()


class Writer:
    """Collects nodes and initializers; every method returns the name of the tensor it makes."""

    def __init__(self) -> None:
        """Start with the bounds of ReLU6."""
        self.nodes: list[onnx.NodeProto] = []
        self.constants = [
            numpy_helper.from_array(np.float32(it), name) for name, it in (("zero", 0), ("six", 6))
        ]

    def node(self, op: str, name: str, *inputs: str, **attributes: object) -> str:
        """Append a node; its result has its name."""
        self.nodes.append(helper.make_node(op, list(inputs), [name], name=name, **attributes))
        return name

    def constant(self, name: str, value: torch.Tensor) -> str:
        """Append an initializer."""
        self.constants.append(numpy_helper.from_array(value.detach().contiguous().numpy(), name))
        return name

    def layer(self, name: str, layer: ConvNorm, source: str) -> str:
        """Append convolution, normalization, and Clip."""
        conv, norm = layer[0], layer[1]
        size, pad = conv.kernel_size[0], conv.padding[0]
        shape: dict[str, Any] = {"kernel_shape": [size] * 2, "pads": [pad] * 4, "strides": list(conv.stride)}
        weight = self.constant(f"{name}.weight", conv.weight)
        x = self.node("Conv", f"{name}.conv", source, weight, group=conv.groups, **shape)
        statistics = (norm.weight, norm.bias, norm.running_mean, norm.running_var)
        names = [self.constant(f"{name}.norm{at}", it) for at, it in enumerate(statistics)]
        x = self.node("BatchNormalization", f"{name}.norm", x, *names, epsilon=norm.eps)
        return x if layer.linear else self.node("Clip", f"{name}.relu6", x, "zero", "six")


def to_onnx(net: MobileNet) -> onnx.ModelProto:
    """Return the checked model: ``input`` float32 (N, 3, 32, 32) to ``logits`` float32 (N, 10)."""
    write = Writer()
    x = write.layer("stem", net.stem, "input")
    for at, block in enumerate(net.blocks):
        y = x
        for part in ("expand", "filter", "project"):
            y = write.layer(f"block{at}.{part}", getattr(block, part), y)
        x = write.node("Add", f"block{at}.add", x, y) if block.short else y
    x = write.node("GlobalAveragePool", "average", write.layer("head", net.head, x))
    x = write.node("Flatten", "features", x, axis=1)
    weight = write.constant("classifier.weight", net.classifier.weight)
    write.node("Gemm", "logits", x, weight, write.constant("classifier.bias", net.classifier.bias), transB=1)
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
        for name, shape in (("input", ["N", 3, 32, 32]), ("logits", ["N", CLASSES]))
    ]
    graph = helper.make_graph(write.nodes, "mobilenet_cifar", ends[:1], ends[1:], initializer=write.constants)
    opset = helper.make_opsetid("", OPSET)
    model = helper.make_model(graph, opset_imports=[opset], ir_version=IR_VERSION, producer_name="qtool")
    onnx.checker.check_model(model, full_check=True)
    return model


def top1(
    model: onnx.ModelProto, net: MobileNet, images: NDArray[np.uint8], labels: NDArray[np.int64]
) -> float:
    """Return the share of right classes in ONNX Runtime.

    Raises:
        ValueError: PyTorch computes something else.
    """
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    right = 0
    for at in range(0, len(images), 500):
        x = normalized(images[at : at + 500]).contiguous()
        (logits,) = session.run(None, {"input": x.numpy()})
        right += int((logits.argmax(axis=1) == labels[at : at + 500]).sum())
    with torch.no_grad():
        expected = net(x).numpy()
    apart = float(np.abs(logits - expected).max() / np.abs(expected).max())
    if apart > TOLERANCE:
        raise ValueError(f"ONNX Runtime is {apart:.2g} from PyTorch, expected at most {TOLERANCE}")
    return right / len(images)


def main() -> None:
    """Train, check and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--epochs", type=int, default=16)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    net = train(*pictures(options.data / "cifar10" / "train_jpeg.npz"), options.epochs, options.seed)
    model = to_onnx(net)
    found = top1(model, net, *pictures(options.data / "cifar10" / "eval.npz"))
    write_proto(model, options.out)
    weights = sum(it.numel() for it in net.parameters())
    print(f"{options.out}: {weights} parameters, top-1 {found:.2%} of the evaluation pictures")


if __name__ == "__main__":
    main()
