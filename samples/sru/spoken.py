"""Makes spectrograms of ten made-up words: three formants that glide from sound to sound, and noise.

A stand-in for speech whose every sample comes from a seed. The words share their sounds and differ in the
order of them, so that a network has to remember what it heard.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.random import Generator
    from numpy.typing import NDArray

FRAMES, BANDS, WORDS = 16, 20, 10
SOUNDS = {"a": (7.0, 12.0, 17.0), "i": (3.0, 15.0, 18.0), "u": (3.5, 8.0, 16.0), "e": (5.0, 14.0, 17.5)}
"""Centres of the formants of each sound, as positions among the bands."""
LEXICON = ("aiu", "aui", "iau", "iua", "uai", "uia", "aie", "eia", "eua", "aue")
WIDTH, NOISE = 1.1, 0.6
STEP = 1 / 8
"""Levels are multiples of this, so that files of them are small."""


def spoken_words(rng: Generator, count: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Speak words at random.

    Args:
        rng: decides on everything.
        count: number of words.

    Returns:
        Levels (count, FRAMES, BANDS), about 0 to 4, and the words' numbers (count,).
    """
    labels = rng.integers(0, WORDS, count)
    return np.stack([_spectrogram(rng, LEXICON[label]) for label in labels]), labels


def _spectrogram(rng: Generator, word: str) -> NDArray[np.float32]:
    """Return one word, spoken at a speed, a pitch, a loudness and a time of its own; (FRAMES, BANDS)."""
    centres = np.array([SOUNDS[sound] for sound in word]) * rng.uniform(0.88, 1.12)
    centres += rng.normal(0, 0.4, centres.shape)
    begin, length = rng.uniform(0, 4), rng.uniform(9, 12)
    place = (np.arange(FRAMES) - begin) / length
    # Half of each sound is steady; between two of them formants glide.
    at = np.array([0.0, 0.22, 0.42, 0.58, 0.78, 1.0])
    tracks = [np.interp(place, at, np.repeat(track, 2)) for track in centres.T]
    voiced = np.clip(np.minimum(place, 1 - place) * 8, 0, 1) * rng.uniform(1.0, 2.0)
    bands = np.arange(BANDS)
    levels = sum(np.exp(-(((bands - track[:, np.newaxis]) / WIDTH) ** 2)) for track in tracks)
    noisy = voiced[:, np.newaxis] * levels + np.abs(rng.normal(0, NOISE, (FRAMES, BANDS)))
    return (np.rint(noisy / STEP) * STEP).astype(np.float32)
