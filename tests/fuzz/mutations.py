"""Ways to damage a file: bytes of any, and values of one that is JSON or TOML."""

from __future__ import annotations

import copy
import json
import re
from typing import Any

import numpy as np

WORDS = [
    b"-1", b"0", b"1e308", b"1e999", b"NaN", b"-Infinity", b"99999999999999999999", b"4294967296", b"null",
    b"true", b"{}", b"[]", b'""', b"[[[[[[[[", b"\x00", b"\xff\xfe", b"../../../etc/passwd", b"\n", b"=",
    b",", b"2",
]  # fmt: skip
VALUES: list[Any] = [
    -1, 0, 1, 2, 3, 33, 2**31, 2**63, 2**200, -(2**63), 0.5, 1e308, -1e-300, 1e999, float("nan"), None, True,
    "", "..", "x", "int4", "w4a8", "/etc/passwd", [], [[]], [1], [0, 0, 0], {}, {"name": "x"}, "9" * 400,
]  # fmt: skip
NUMBER = re.compile(rb"[-+]?[0-9]+(\.[0-9]+)?([eE][-+]?[0-9]+)?")


def damaged(data: bytes, rng: np.random.Generator) -> bytes:
    """Change one to four places of a file."""
    for _ in range(int(rng.integers(1, 5))):
        data = CHANGES[int(rng.integers(len(CHANGES)))](data, rng)
    return data


def set_byte(data: bytes, rng: np.random.Generator) -> bytes:
    at = int(rng.integers(len(data) or 1))
    return data[:at] + bytes([rng.integers(256)]) + data[at + 1 :]


def insert_word(data: bytes, rng: np.random.Generator) -> bytes:
    at = int(rng.integers(len(data) + 1))
    return data[:at] + WORDS[int(rng.integers(len(WORDS)))] + data[at:]


def cut(data: bytes, rng: np.random.Generator) -> bytes:
    first, last = slice_of(data, rng)
    return data[:first] + data[last:]


def repeat(data: bytes, rng: np.random.Generator) -> bytes:
    first, last = slice_of(data, rng)
    return data[:last] + data[first:last] + data[last:]


def truncate(data: bytes, rng: np.random.Generator) -> bytes:
    return data[: int(rng.integers(len(data) + 1))] if rng.random() < 0.3 else data


def change_number(data: bytes, rng: np.random.Generator) -> bytes:
    """Put another word in the place of a number of a text."""
    found = list(NUMBER.finditer(data[:20000]))
    if not found:
        return set_byte(data, rng)
    number = found[int(rng.integers(len(found)))]
    return data[: number.start()] + WORDS[int(rng.integers(len(WORDS)))] + data[number.end() :]


def slice_of(data: bytes, rng: np.random.Generator) -> tuple[int, int]:
    first = int(rng.integers(len(data) + 1))
    return first, min(len(data), first + int(rng.integers(1, 40)))


CHANGES = (set_byte, insert_word, cut, repeat, truncate, change_number)


def changed_values(text: bytes, rng: np.random.Generator) -> bytes:
    """Replace, remove or repeat up to three values of a JSON document."""
    document = copy.deepcopy(json.loads(text))
    for _ in range(int(rng.integers(1, 4))):
        holders = [holder for holder in walk(document) if len(holder)]
        if not holders:
            break
        holder = holders[int(rng.integers(len(holders)))]
        keys = list(holder) if isinstance(holder, dict) else list(range(len(holder)))
        key = keys[int(rng.integers(len(keys)))]
        if rng.random() < 0.15:
            del holder[key]
        elif rng.random() < 0.1 and isinstance(holder, list):
            holder.append(copy.deepcopy(holder[key]))
        else:
            holder[key] = VALUES[int(rng.integers(len(VALUES)))]
    return json.dumps(document).encode()


def walk(value: Any) -> list[Any]:
    """Return every list and object of a document."""
    if isinstance(value, dict):
        return [value, *(found for item in value.values() for found in walk(item))]
    if isinstance(value, list):
        return [value, *(found for item in value for found in walk(item))]
    return []
