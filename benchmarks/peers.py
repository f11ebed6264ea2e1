"""Other engines on the same models and shapes: OpenVINO, and PyTorch's quantized operators.

Neither is needed: ``pip install openvino torch`` adds their columns to the benchmarks.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import onnx

Run = Callable[[], object]
PEERS = ("openvino", "torch")
TORCH_ENGINES = ("onednn", "x86", "fbgemm")
"""Of these the fastest is shown; qnnpack is made for ARM."""


def peer_versions() -> dict[str, str]:
    """Return the versions of the peers that are installed."""
    found = {}
    for name in PEERS:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def openvino_run(proto: onnx.ModelProto, feeds: dict[str, np.ndarray], threads: int) -> Run | None:
    """Return a run of a model in OpenVINO, with its latency settings; ``None`` where it is not installed."""
    if find_spec("openvino") is None:
        return None
    import openvino

    core = openvino.Core()
    settings = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": 1}
    compiled = core.compile_model(core.read_model(proto.SerializeToString()), "CPU", settings)
    request = compiled.create_infer_request()
    tensors = {name: openvino.Tensor(array, shared_memory=True) for name, array in feeds.items()}
    request.set_tensors(tensors)
    return request.infer


def torch_gemms(x: np.ndarray, right: np.ndarray) -> dict[str, Run]:
    """Return runs of ``quantized::linear``, by engine; empty where torch is not installed.

    Args:
        x: uint8 codes around 128, shape (rows, depth).
        right: int8 weights, shape (channels, depth).
    """
    return {} if find_spec("torch") is None else _torch_runs(x, right, None)


def torch_convs(x: np.ndarray, right: np.ndarray, **window: Any) -> dict[str, Run]:
    """Return runs of ``quantized::conv2d`` on channels that come last, by engine.

    Args:
        x: uint8 codes around 128, shape (batch, rows, columns, channels).
        right: int8 weights, ONNX layout.
        window: `group` and `pad`.
    """
    return {} if find_spec("torch") is None else _torch_runs(x, right, window)


def _torch_runs(x: np.ndarray, right: np.ndarray, window: dict[str, Any] | None) -> dict[str, Run]:
    import torch

    torch.set_num_threads(1)
    runs: dict[str, Run] = {}
    supported = torch.backends.quantized.supported_engines
    with warnings.catch_warnings():
        # The operators are deprecated and still the fastest that PyTorch has for these shapes on a CPU.
        warnings.simplefilter("ignore")
        codes = torch.from_numpy(x)
        codes = codes if window is None else codes.permute(0, 3, 1, 2)
        acts = torch._make_per_tensor_quantized_tensor(codes, 0.03125, 128)
        weights = torch._make_per_tensor_quantized_tensor(torch.from_numpy(right), 0.0625, 0)
        for engine in TORCH_ENGINES:
            if engine in supported:
                runs[engine] = _torch_run(engine, acts, weights, window)
    return runs


def _torch_run(engine: str, acts: Any, weights: Any, window: dict[str, Any] | None) -> Run:
    import torch

    def select() -> None:
        if torch.backends.quantized.engine != engine:
            torch.backends.quantized.engine = engine

    select()
    ops = torch.ops.quantized
    if window is None:
        packed = ops.linear_prepack(weights, None)
        return lambda: (select(), ops.linear(acts, packed, 1.5, 128))
    pad = [window["pad"]] * 2
    packed = ops.conv2d_prepack(weights, None, [1, 1], pad, [1, 1], window["group"])
    return lambda: (select(), ops.conv2d(acts, packed, 1.5, 128))
