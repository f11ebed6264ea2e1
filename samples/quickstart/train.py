"""Makes the files of this folder again: trains the sample network on scikit-learn's digits.

Needs ``pip install "qtool[train]" scikit-learn``; the images are part of scikit-learn, nothing is downloaded.
Takes less than a minute on one core::

    python samples/quickstart/train.py
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from export import to_onnx
from network import DigitsNet
from numpy.typing import NDArray
from sklearn.datasets import load_digits
from torch import nn

FOLDER = Path(__file__).parent
SEED = 0
HELD_OUT = 450
CALIBRATION = 300
EPOCHS = 40
BATCH = 64
MIN_ACCURACY = 0.97
TOLERANCE = 1e-4


@dataclass(frozen=True, slots=True)
class Digits:
    """Images float32 (n, 1, 8, 8) in 0..1 and labels int64 (n,), for training and held out."""

    train_images: NDArray[np.float32]
    train_labels: NDArray[np.int64]
    test_images: NDArray[np.float32]
    test_labels: NDArray[np.int64]


def split_digits() -> Digits:
    """Load the 1797 images and hold the last 450 out.

    Neighbours in the file are alike, so a shuffled split would flatter the network.
    """
    data = load_digits()
    # The bundled grey levels are the integers 0 to 16.
    images = (data.images[:, np.newaxis] / 16).astype(np.float32)
    labels = data.target.astype(np.int64)
    return Digits(images[:-HELD_OUT], labels[:-HELD_OUT], images[-HELD_OUT:], labels[-HELD_OUT:])


def train(digits: Digits) -> DigitsNet:
    """Train with AdamW and one learning-rate cycle; returns the network in evaluation mode."""
    torch.manual_seed(SEED)
    net = DigitsNet()
    images, labels = torch.from_numpy(digits.train_images), torch.from_numpy(digits.train_labels)
    steps = EPOCHS * -(-len(images) // BATCH)
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-3, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=1e-2, total_steps=steps)
    loss_of = nn.CrossEntropyLoss(label_smoothing=0.05)
    for _ in range(EPOCHS):
        for chosen in torch.randperm(len(images)).split(BATCH):
            optimizer.zero_grad()
            loss_of(net(images[chosen]), labels[chosen]).backward()
            optimizer.step()
            schedule.step()
    return net.eval()


def check(net: DigitsNet, model: onnx.ModelProto, digits: Digits) -> float:
    """Return the held-out accuracy of the model in ONNX Runtime, a fraction.

    Raises:
        ValueError: ONNX Runtime and torch disagree, or the accuracy is too low to be worth shipping.
    """
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    (logits,) = session.run(None, {"image": digits.test_images})
    with torch.no_grad():
        expected = net(torch.from_numpy(digits.test_images)).numpy()
    difference = float(np.abs(logits - expected).max())
    if difference > TOLERANCE:
        raise ValueError(f"ONNX Runtime is {difference:.2g} from torch, expected at most {TOLERANCE:.2g}")
    accuracy = float((logits.argmax(axis=1) == digits.test_labels).mean())
    if accuracy < MIN_ACCURACY:
        raise ValueError(f"held-out accuracy is {accuracy:.3f}, expected at least {MIN_ACCURACY}")
    return accuracy


def main() -> None:
    """Train, check and write ``digits.onnx``, ``digits_calib.npz`` and ``digits_eval.npz``."""
    torch.use_deterministic_algorithms(True)
    torch.set_num_threads(1)
    digits = split_digits()
    net = train(digits)
    model = to_onnx(net)
    accuracy = check(net, model, digits)
    rng = np.random.default_rng(SEED)
    chosen = np.sort(rng.choice(len(digits.train_images), CALIBRATION, replace=False))
    onnx.save(model, FOLDER / "digits.onnx")
    np.savez_compressed(FOLDER / "digits_calib.npz", image=digits.train_images[chosen])
    np.savez_compressed(FOLDER / "digits_eval.npz", image=digits.test_images, labels=digits.test_labels)
    print(f"digits.onnx: {accuracy:.2%} of {HELD_OUT} held-out images")


if __name__ == "__main__":
    main()
