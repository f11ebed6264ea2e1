"""The cases of benchmarks/coverage.py: models, the data they are fed with, and where they come from."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

CIFAR = "mean=0.485,0.456,0.406 std=0.229,0.224,0.225"
IMAGES = ("imagenet/calib", "imagenet/eval")
SMALL_IMAGES = "resize=183 crop=160 scale=127.5 mean=1"
TEXT = ("text/sst2_calib.npz", "text/sst2_eval.npz")
LAYERS = {"Conv", "ConvTranspose", "Einsum", "Gemm", "GRU", "LSTM", "MatMul", "RNN"}
WEIGHTED = LAYERS - {"Einsum", "MatMul"}
"""Operators that multiply by constants only."""
OPEN_SIZE = 2
"""Size of an axis that a model leaves open, when its input is made up."""

Words = tuple[str, ...]


@dataclass(frozen=True)
class Case:
    """A model and what to say about its data.

    Attributes:
        name: unique among the cases of its part.
        model: the file.
        calib: calibration data.
        eval: data to compare on.
        words: further words of the command line, which describe the data.
    """

    name: str
    model: Path
    calib: str
    eval: str
    words: Words = ()


NETWORKS: dict[str, tuple[str, str, Words]] = {
    "mobilenet_v2_1.0_224": (*IMAGES, ("--preprocess", "tf", "--label-offset", "1")),
    "squeezenet1_1": (*IMAGES, ("--preprocess", "imagenet")),
    "mobilenet_v1_0.5_160": (*IMAGES, ("--preprocess", SMALL_IMAGES, "--label-offset", "1")),
    "resnet20_cifar10": ("cifar10/calib.npz", "cifar10/eval.npz", ("--preprocess", CIFAR)),
    "resnet32_cifar10": ("cifar10/calib.npz", "cifar10/eval.npz", ("--preprocess", CIFAR)),
    "minilm_l6_sst2": (*TEXT, ()),
    "stories260k_llama": ("text/stories_calib.npz", "text/stories_eval.npz", ("--metric", "likelihood")),
    "fsdd_bigru": ("audio/fsdd_calib.npz", "audio/fsdd_eval.npz", ()),
    "kws_dscnn_mlperf": ("audio/kws_calib.npz", "audio/kws_eval.npz", ()),
    "vit_mnist": ("mnist/calib.npz", "mnist/eval.npz", ("--preprocess", "mean=0.1307 std=0.3081")),
    "mlperf_resnet8_cifar10": (
        "cifar10/calib.npz",
        "cifar10/eval.npz",
        ("--preprocess", "scale=1 layout=nhwc"),
    ),
    "yunet_n_dynamic": (*IMAGES, ("--preprocess", "order=bgr scale=1", "--metric", "agreement")),
    "mobilenet_v1_0.5_160_qat_qdq": (*IMAGES, ("--preprocess", SMALL_IMAGES, "--label-offset", "1")),
}


SAMPLE = Path(__file__).resolve().parents[1] / "samples" / "sru"
SAMPLES = {"sru_scan": "sru.onnx", "sru_unrolled": "sru_unrolled.onnx"}
"""Networks that samples/sru/train.py trained."""


def network_cases(data: Path, folder: Path) -> Iterator[Case]:
    """Yield the trained networks with their own data."""
    for name, file in SAMPLES.items():
        words = [str(SAMPLE / f"sru_{part}.npz") for part in ("calib", "eval")]
        yield Case(name, SAMPLE / file, *words)
    for name, (calib, held_out, words) in NETWORKS.items():
        model = data / "models" / f"{name}.onnx"
        yield Case(name, model, str(data / calib), str(data / held_out), words)


def odd_cases(data: Path, folder: Path) -> Iterator[Case]:
    """Yield graphs from many repositories with made-up data."""
    for entry in json.loads((data / "odd_graphs" / "index.json").read_text(encoding="utf-8")):
        model = data / "odd_graphs" / entry["file"]
        yield made_up(Path(entry["file"]).stem, model, folder)


def suite_cases(data: Path, folder: Path) -> Iterator[Case]:
    """Yield the onnx package's tests of operators that multiply, and of models with such operators.

    All their weights are inputs. Inputs but the first become constants, as a network would have them, but not
    in models of matrix products only, such as attention: there, those with as many samples stay.
    """
    from onnx.backend.test.case.node import collect_testcases

    for case in sorted(collect_testcases(None), key=lambda case: case.name):
        inputs, (given, _) = list(case.model.graph.input), case.data_sets[0]
        kinds = {value.type.tensor_type.elem_type for value in inputs}
        ops = set(_ops(case.model.graph))
        if not ops & LAYERS or onnx.TensorProto.UNDEFINED in kinds or not _is_float(inputs[0]):
            continue
        arrays = {value.name: _array(array) for value, array in zip(inputs, given, strict=False)}
        fed = {inputs[0].name: arrays[inputs[0].name]}
        if not ops & WEIGHTED and len(case.model.graph.node) > 1:
            samples = len(fed[inputs[0].name])
            alike = [it.name for it in inputs if _is_float(it) and len(arrays[it.name]) == samples]
            fed = {name: arrays[name] for name in alike}
        rest = {name: array for name, array in arrays.items() if name not in fed}
        model = folder / f"{case.name}.onnx"
        model.write_bytes(with_constants(case.model, rest).SerializeToString())
        yield _stored(case.name, model, fed, folder)


def _ops(graph: onnx.GraphProto) -> Iterator[str]:
    for node in graph.node:
        yield node.op_type
        for attribute in node.attribute:
            for inner in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs):
                yield from _ops(inner)


def _is_float(value: onnx.ValueInfoProto) -> bool:
    kind = value.type.tensor_type
    return bool(kind.elem_type == onnx.TensorProto.FLOAT and kind.shape.dim)


def _array(value: Any) -> NDArray[Any]:
    """Return a stored array; values of few bits come as protocol buffers."""
    stored = isinstance(value, onnx.TensorProto)
    return onnx.numpy_helper.to_array(value) if stored else np.asarray(value)


def with_constants(proto: onnx.ModelProto, values: dict[str, NDArray[Any]]) -> onnx.ModelProto:
    """Return a model some of whose inputs are constants."""
    model = onnx.ModelProto.FromString(proto.SerializeToString())
    kept = [value for value in model.graph.input if value.name not in values]
    del model.graph.input[:]
    model.graph.input.extend(kept)
    model.graph.initializer.extend(
        onnx.numpy_helper.from_array(value, name) for name, value in values.items()
    )
    model.ir_version = max(model.ir_version, 4)
    return model


def made_up(name: str, model: Path, folder: Path) -> Case:
    """Return a case whose inputs are random numbers from 0 to 1, or random zeros and ones."""
    return _stored(name, model, random_feeds(onnx.ModelProto.FromString(model.read_bytes())), folder)


def _stored(name: str, model: Path, arrays: dict[str, NDArray[Any]], folder: Path) -> Case:
    data = folder / f"{name}.npz"
    np.savez(data, **arrays)  # type: ignore[arg-type]
    return Case(name, model, str(data), str(data))


def random_feeds(proto: onnx.ModelProto) -> dict[str, NDArray[Any]]:
    """Return an array for every input of a model that is a tensor of numbers; open axes are short."""
    rng, feeds = np.random.default_rng(0), {}
    fixed = {tensor.name for tensor in proto.graph.initializer}
    for value in proto.graph.input:
        kind = value.type.tensor_type
        numeric = kind.elem_type not in (onnx.TensorProto.UNDEFINED, onnx.TensorProto.STRING)
        if value.name in fixed or not numeric:
            continue
        shape = [dim.dim_value if dim.dim_value > 0 else OPEN_SIZE for dim in kind.shape.dim]
        dtype = onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type)
        numbers = rng.random(shape) if dtype.kind == "f" else rng.integers(0, 2, shape)
        feeds[value.name] = np.asarray(numbers).astype(dtype)
    return feeds
