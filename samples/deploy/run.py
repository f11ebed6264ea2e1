"""Run a Q/DQ model in ONNX Runtime: needs onnxruntime and numpy, and nothing of qtool."""

from __future__ import annotations

import argparse

import numpy as np
import onnxruntime


def main() -> None:
    """Print the class of every sample in a file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", help="model.qdq.onnx")
    parser.add_argument("samples", help=".npz with one array per input of the model")
    parser.add_argument("--count", type=int, default=8, help="how many samples to run")
    asked = parser.parse_args()

    options = onnxruntime.SessionOptions()
    # One thread per core is the default; servers that run many sessions want fewer.
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(asked.model, options, providers=["CPUExecutionProvider"])
    with np.load(asked.samples) as arrays:
        feeds = {each.name: arrays[each.name][: asked.count] for each in session.get_inputs()}
    scores = session.run(None, feeds)[0]
    print(*scores.argmax(axis=-1))


if __name__ == "__main__":
    main()
