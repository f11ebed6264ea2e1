"""Makes the files of this folder again: trains the network on made-up words, or on recordings.

Needs ``pip install "qtool[train]"``. The words come from a seed, nothing is downloaded; a minute on a core::

    python samples/sru/train.py

Recordings are read from .npz files with ``logmel`` (N, T, bands) and ``labels``; two frames are averaged to
one, and models and data of their sizes are written elsewhere, with those for training::

    python samples/sru/train.py --data train.npz --held-out eval.npz --out FOLDER
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from export import to_onnx
from network import SruNet
from numpy.typing import NDArray
from spoken import spoken_words
from torch import nn

FOLDER = Path(__file__).parent
SEED = 0
TRAINING, CALIBRATION, HELD_OUT = 2400, 150, 500
EPOCHS, BATCH = 24, 64
MIN_ACCURACY = 0.95
TOLERANCE = 1e-5
STYLES = {"sru": False, "sru_unrolled": True}
"""Names of the models, and whether time is unrolled in them."""


@dataclass(frozen=True, slots=True)
class Words:
    """Sequences float32 (n, frames, bands) and labels int64 (n,), for training and held out."""

    frames: NDArray[np.float32]
    labels: NDArray[np.int64]
    test_frames: NDArray[np.float32]
    test_labels: NDArray[np.int64]


def made_up() -> Words:
    """Speak the words of all parts from one seed."""
    rng = np.random.default_rng(SEED)
    return Words(*spoken_words(rng, TRAINING), *spoken_words(rng, HELD_OUT))


def recorded(training: Path, held_out: Path) -> Words:
    """Load recordings; averages of two frames halve the sequences."""
    parts = []
    for path in (training, held_out):
        with np.load(path, allow_pickle=False) as data:
            levels = data["logmel"].astype(np.float32)
            even = levels[:, : levels.shape[1] // 2 * 2]
            halves = even.reshape(len(even), -1, 2, even.shape[2]).mean(axis=2)
            parts += [halves, data["labels"].astype(np.int64)]
    return Words(*parts)


def train(words: Words) -> SruNet:
    """Train with AdamW and one learning-rate cycle; returns the network in evaluation mode."""
    torch.manual_seed(SEED)
    net = SruNet(words.frames.shape[2], int(words.labels.max()) + 1)
    frames, labels = torch.from_numpy(words.frames), torch.from_numpy(words.labels)
    steps = EPOCHS * -(-len(frames) // BATCH)
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-3, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=1e-2, total_steps=steps)
    loss_of = nn.CrossEntropyLoss(label_smoothing=0.05)
    for _ in range(EPOCHS):
        for chosen in torch.randperm(len(frames)).split(BATCH):
            optimizer.zero_grad()
            loss_of(net(frames[chosen]), labels[chosen]).backward()
            nn.utils.clip_grad_norm_(net.parameters(), 1.0)
            optimizer.step()
            schedule.step()
    return net.eval()


def check(net: SruNet, model: onnx.ModelProto, words: Words) -> float:
    """Return the held-out accuracy of a model in ONNX Runtime, a fraction.

    Raises:
        ValueError: ONNX Runtime and torch disagree, or the accuracy is too low to be worth shipping.
    """
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    (logits,) = session.run(None, {"frames": words.test_frames})
    with torch.no_grad():
        expected = net(torch.from_numpy(words.test_frames)).numpy()
    difference = float(np.abs(logits - expected).max() / np.abs(expected).max())
    if difference > TOLERANCE:
        raise ValueError(f"ONNX Runtime is {difference:.2g} from torch, expected at most {TOLERANCE:.2g}")
    accuracy = float((logits.argmax(axis=1) == words.test_labels).mean())
    if accuracy < MIN_ACCURACY:
        raise ValueError(f"held-out accuracy is {accuracy:.3f}, expected at least {MIN_ACCURACY}")
    return accuracy


def main() -> None:
    """Train, check and write both models, ``sru_calib.npz`` and ``sru_eval.npz``."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, help="recordings to train on, in place of made-up words")
    parser.add_argument("--held-out", type=Path, help="recordings to judge on")
    parser.add_argument("--out", type=Path, default=FOLDER)
    options = parser.parse_args()
    torch.use_deterministic_algorithms(True)
    torch.set_num_threads(1)
    words = recorded(options.data, options.held_out) if options.data else made_up()
    net = train(words)
    options.out.mkdir(parents=True, exist_ok=True)
    for name, unrolled in STYLES.items():
        model = to_onnx(net, words.frames.shape[1], unrolled=unrolled)
        accuracy = check(net, model, words)
        onnx.save(model, options.out / f"{name}.onnx")
        print(f"{name}.onnx: {accuracy:.2%} of {len(words.test_labels)} held-out words")
    chosen = np.sort(np.random.default_rng(SEED).choice(len(words.frames), CALIBRATION, replace=False))
    np.savez_compressed(options.out / "sru_calib.npz", frames=words.frames[chosen])
    np.savez_compressed(options.out / "sru_eval.npz", frames=words.test_frames, labels=words.test_labels)
    if options.data:
        np.savez_compressed(options.out / "sru_train.npz", frames=words.frames, labels=words.labels)


if __name__ == "__main__":
    main()
