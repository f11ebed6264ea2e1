"""Where samples come from: .npz files, folders of images, ONNX test data, Python functions.

A source gives raw arrays by model input, a range of samples at a time, so that data of any size can be
streamed; `passes.execution.dataset` turns them into what the model reads. Files that do not fit into one
array per input are feeds (`passes.execution.feed_source`).
"""

from __future__ import annotations

import csv
import importlib
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from onnx import numpy_helper
from PIL import Image, UnidentifiedImageError

from passes.errors import DataError, UsageError
from passes.execution.blob import decoded, has_blob
from passes.execution.feed_source import FeedSource, samples_in
from passes.execution.npz import read_npz
from passes.ir.tensor_sizes import check_tensors

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from passes.execution.preprocess import Preprocess

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp"})
DECODERS = 4
_NO_RANKS: Mapping[str, int] = {}


class Source(Protocol):
    """Raw samples."""

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the arrays it holds."""

    @property
    def count(self) -> int:
        """Number of samples."""

    @property
    def labels(self) -> NDArray[np.int64] | None:
        """Classes, shape (count,), or ``None``."""

    @property
    def prepared(self) -> bool:
        """True when images have been resized and cropped already."""

    @property
    def whole(self) -> bool:
        """True when a sample is all that one run reads: it is neither cut nor joined with others."""

    def stretches(self, stop: int) -> Iterator[tuple[int, int]]:
        """Yield ranges of samples that have equal shapes, the first `stop` samples in all."""

    def load(self, start: int, stop: int) -> dict[str, NDArray[Any]]:
        """Return samples ``start`` to ``stop`` of every array, stacked along the first axis."""


class Even:
    """The part of a source whose samples all have equal shapes."""

    whole = False

    def stretches(self, stop: int) -> Iterator[tuple[int, int]]:
        """Yield the one range that there is."""
        yield 0, stop


@dataclass(frozen=True)
class ArraySource(Even):
    """Samples held in memory: the contents of .npz files, .pb files, or of a Python function."""

    names: tuple[str, ...]
    count: int
    labels: NDArray[np.int64] | None
    arrays: dict[str, NDArray[Any]]
    prepared: bool = False

    def load(self, start: int, stop: int) -> dict[str, NDArray[Any]]:
        """Return a slice of every array."""
        return {name: array[start:stop] for name, array in self.arrays.items()}


@dataclass(frozen=True)
class ImageSource(Even):
    """Pictures in a folder, decoded when they are asked for."""

    names: tuple[str, ...]
    count: int
    labels: NDArray[np.int64] | None
    files: tuple[Path, ...]
    preprocess: Preprocess
    prepared: bool = True

    def load(self, start: int, stop: int) -> dict[str, NDArray[Any]]:
        """Decode, resize and crop pictures to one (N, H, W, 3) array of bytes."""
        with ThreadPoolExecutor(DECODERS) as pool:
            images = list(pool.map(self._decode, self.files[start:stop]))
        if len({image.shape for image in images}) > 1:
            sizes = sorted({image.shape[:2] for image in images})
            raise DataError(
                f"{self.files[start].parent}: images of different sizes {sizes[:4]}; give --preprocess a crop"
            )
        return {"x": np.stack(images)}

    def _decode(self, path: Path) -> NDArray[np.uint8]:
        try:
            with Image.open(path) as picture:
                return self.preprocess.image(picture)
        # Pillow has the last two for damaged chunks and headers.
        except (
            UnidentifiedImageError,
            OSError,
            Image.DecompressionBombError,
            SyntaxError,
            ValueError,
        ) as error:
            raise DataError(f"{path}: cannot be decoded as an image: {error}") from error


def open_source(
    location: str, preprocess: Preprocess | None, inputs: Sequence[str], ranks: Mapping[str, int] = _NO_RANKS
) -> Source:
    """Find out what a ``--calib`` or ``--eval`` argument is, and open it.

    Args:
        location: path of a file or folder, or ``package.module:function``.
        preprocess: how pictures become inputs; required for a folder of pictures.
        inputs: names of the model's inputs, in order; ONNX test data carry no names of their own.
        ranks: number of axes of the model's inputs, where they are known: what tells a batch that a function
            yields from a sample.

    Raises:
        DataError: nothing usable is there.
        UsageError: the argument is neither a path nor a function.
    """
    path = Path(location)
    if path.is_dir():
        return _folder(path, preprocess, inputs)
    if path.is_file():
        return _from_parts([read_npz(path)], location)
    if ":" in location:
        return _from_function(location, ranks)
    raise DataError(f"{location}: no such data file or folder")


def _folder(path: Path, preprocess: Preprocess | None, inputs: Sequence[str]) -> Source:
    files = sorted(file for file in path.rglob("*") if file.is_file())
    archives = [file for file in files if file.suffix == ".npz"]
    if archives:
        return _from_parts([read_npz(file) for file in archives], str(path))
    if any(file.suffix == ".pb" for file in files):
        return _from_parts(_read_test_data(files, inputs), str(path))
    pictures = tuple(file for file in files if file.suffix.lower() in IMAGE_SUFFIXES)
    if not pictures:
        raise DataError(f"{path}: expected .npz files, images or ONNX test data in this folder, found none")
    if preprocess is None:
        raise UsageError(f"{path}: a folder of images needs --preprocess, for example --preprocess imagenet")
    return ImageSource(("x",), len(pictures), _picture_labels(path, pictures), pictures, preprocess)


def _from_parts(parts: list[dict[str, NDArray[Any]]], where: str) -> Source:
    """Join parts of equal shapes to one array per input; keep others apart."""
    if not parts:
        raise DataError(f"{where}: expected files named input_0.pb and so on in a folder, found none")
    parts = [_with_pictures(part, where) for part in parts]
    shapes = [{name: (array.dtype, array.shape[1:]) for name, array in part.items()} for part in parts]
    if len(parts) > 1 and any(shape != shapes[0] for shape in shapes):
        return FeedSource.of(parts, where)
    if any(samples_in(part) is None for part in parts):
        return FeedSource.of(parts, where)
    return _from_arrays({name: np.concatenate([part[name] for part in parts]) for name in parts[0]}, where)


def _read_test_data(files: list[Path], inputs: Sequence[str]) -> list[dict[str, NDArray[Any]]]:
    """Read ``input_K.pb`` files; each folder is one batch."""
    folders = sorted(
        {file.parent for file in files if file.name.startswith("input_") and file.suffix == ".pb"}
    )
    batches = []
    for folder in folders:
        tensors = [folder / f"input_{index}.pb" for index in range(len(inputs))]
        try:
            protos = [onnx.TensorProto.FromString(file.read_bytes()) for file in tensors]
            check_tensors(onnx.GraphProto(initializer=protos), str(folder))
            batches.append({name: numpy_helper.to_array(p) for name, p in zip(inputs, protos, strict=True)})
        except (OSError, ValueError, TypeError, DecodeError) as error:
            raise DataError(
                f"{folder}: expected input_0.pb to input_{len(inputs) - 1}.pb: {error}"
            ) from error
    return batches


def _from_function(location: str, ranks: Mapping[str, int]) -> Source:
    module_name, _, function_name = location.partition(":")
    try:
        function = getattr(importlib.import_module(module_name), function_name)
    except (ImportError, AttributeError) as error:
        raise UsageError(f"{location}: no such file, and no such function either: {error}") from error
    samples = [{key: np.asarray(value) for key, value in sample.items()} for sample in function()]
    if not samples:
        raise DataError(f"{location}: the function yielded no samples")
    return _from_parts([_as_batch(sample, ranks) for sample in samples], location)


def _as_batch(arrays: dict[str, NDArray[Any]], ranks: Mapping[str, int]) -> dict[str, NDArray[Any]]:
    """Return what has as many axes as the model's inputs as it is, and a sample as a batch of one."""
    if any(ranks.get(name) == array.ndim for name, array in arrays.items()):
        return arrays
    return {name: array[None] for name, array in arrays.items()}


def _with_pictures(part: dict[str, NDArray[Any]], where: str) -> dict[str, NDArray[Any]]:
    """Decode pictures that are stored as one blob; labels stay beside them."""
    labels = {name: part[name] for name in part if name == "labels"}
    rest = {name: part[name] for name in part if name not in labels}
    return {"x": decoded(rest, where)} | labels if has_blob(rest) else part


def _from_arrays(arrays: dict[str, NDArray[Any]], where: str) -> Source:
    count = samples_in(arrays) or 0
    labels = arrays.pop("labels", None)
    return ArraySource(tuple(arrays), count, _checked_labels(labels, count, where), arrays)


def _checked_labels(labels: NDArray[Any] | None, count: int, where: str) -> NDArray[np.int64] | None:
    if labels is None:
        return None
    if labels.shape != (count,) or not np.issubdtype(labels.dtype, np.integer):
        raise DataError(
            f"{where}: expected {count} integer labels, found shape {labels.shape} of {labels.dtype}"
        )
    return labels.astype(np.int64)


def _picture_labels(path: Path, pictures: tuple[Path, ...]) -> NDArray[np.int64] | None:
    """Labels from labels.csv (file,label), else from the names of sub-folders in sorted order."""
    table = path / "labels.csv"
    if table.is_file():
        return _labels_from_csv(table, path, pictures)
    folders = sorted({picture.parent.name for picture in pictures if picture.parent != path})
    if not folders:
        return None
    return np.array([folders.index(picture.parent.name) for picture in pictures], dtype=np.int64)


def _labels_from_csv(table: Path, path: Path, pictures: tuple[Path, ...]) -> NDArray[np.int64]:
    try:
        with table.open(newline="", encoding="utf-8") as file:
            labels = {row["file"]: int(row["label"]) for row in csv.DictReader(file)}
        return np.array(
            [labels[picture.relative_to(path).as_posix()] for picture in pictures], dtype=np.int64
        )
    except (KeyError, ValueError, TypeError, csv.Error, UnicodeDecodeError) as error:
        raise DataError(
            f"{table}: expected columns file,label with an integer per image: {error!r}"
        ) from error
