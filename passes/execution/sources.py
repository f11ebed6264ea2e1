"""Where samples come from: .npz files, folders of images, ONNX test data, Python functions.

A source gives raw arrays by model input, a range of samples at a time, so that data of any size can be
streamed; `passes.execution.dataset` turns them into what the model reads.
"""

from __future__ import annotations

import csv
import importlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import onnx
from onnx import numpy_helper
from PIL import Image, UnidentifiedImageError

from passes.errors import DataError, UsageError
from passes.execution.blob import decoded, has_blob
from passes.execution.npz import read_npz

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from passes.execution.preprocess import Preprocess

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp"})
DECODERS = 4


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

    def load(self, start: int, stop: int) -> dict[str, NDArray[Any]]:
        """Return samples ``start`` to ``stop`` of every array, stacked along the first axis."""


@dataclass(frozen=True)
class ArraySource:
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
class ImageSource:
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
        except (UnidentifiedImageError, OSError, Image.DecompressionBombError) as error:
            raise DataError(f"{path}: cannot be decoded as an image: {error}") from error


def open_source(location: str, preprocess: Preprocess | None, inputs: Sequence[str]) -> Source:
    """Find out what a ``--calib`` or ``--eval`` argument is, and open it.

    Args:
        location: path of a file or folder, or ``package.module:function``.
        preprocess: how pictures become inputs; required for a folder of pictures.
        inputs: names of the model's inputs, in order; ONNX test data carry no names of their own.

    Raises:
        DataError: nothing usable is there.
        UsageError: the argument is neither a path nor a function.
    """
    path = Path(location)
    if path.is_dir():
        return _folder(path, preprocess, inputs)
    if path.is_file():
        return _from_arrays(read_npz(path), location)
    if ":" in location:
        return _from_function(location)
    raise DataError(f"{location}: no such data file or folder")


def _folder(path: Path, preprocess: Preprocess | None, inputs: Sequence[str]) -> Source:
    files = sorted(file for file in path.rglob("*") if file.is_file())
    archives = [file for file in files if file.suffix == ".npz"]
    if archives:
        return _from_arrays(_concatenate([read_npz(file) for file in archives], path), str(path))
    if any(file.suffix == ".pb" for file in files):
        return _from_arrays(_read_test_data(path, files, inputs), str(path))
    pictures = tuple(file for file in files if file.suffix.lower() in IMAGE_SUFFIXES)
    if not pictures:
        raise DataError(f"{path}: expected .npz files, images or ONNX test data in this folder, found none")
    if preprocess is None:
        raise UsageError(f"{path}: a folder of images needs --preprocess, for example --preprocess imagenet")
    return ImageSource(("x",), len(pictures), _picture_labels(path, pictures), pictures, preprocess)


def _concatenate(parts: list[dict[str, NDArray[Any]]], path: Path) -> dict[str, NDArray[Any]]:
    try:
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    except (KeyError, ValueError) as error:
        raise DataError(f"{path}: the .npz files do not hold the same arrays: {error}") from error


def _read_test_data(path: Path, files: list[Path], inputs: Sequence[str]) -> dict[str, NDArray[Any]]:
    """Read ``input_K.pb`` files; each folder is one batch."""
    folders = sorted(
        {file.parent for file in files if file.name.startswith("input_") and file.suffix == ".pb"}
    )
    batches = []
    for folder in folders:
        tensors = [folder / f"input_{index}.pb" for index in range(len(inputs))]
        try:
            protos = [onnx.TensorProto.FromString(file.read_bytes()) for file in tensors]
            batches.append({name: numpy_helper.to_array(p) for name, p in zip(inputs, protos, strict=True)})
        except (OSError, ValueError, onnx.onnx_cpp2py_export.checker.ValidationError) as error:
            raise DataError(
                f"{folder}: expected input_0.pb to input_{len(inputs) - 1}.pb: {error}"
            ) from error
    return _concatenate(batches, path) if batches else {}


def _from_function(location: str) -> Source:
    module_name, _, function_name = location.partition(":")
    try:
        function = getattr(importlib.import_module(module_name), function_name)
    except (ImportError, AttributeError) as error:
        raise UsageError(f"{location}: no such file, and no such function either: {error}") from error
    samples = [{key: np.asarray(value) for key, value in sample.items()} for sample in function()]
    if not samples:
        raise DataError(f"{location}: the function yielded no samples")
    return _from_arrays({key: np.stack([sample[key] for sample in samples]) for key in samples[0]}, location)


def _from_arrays(arrays: dict[str, NDArray[Any]], where: str) -> Source:
    labels = arrays.pop("labels", None)
    if not arrays:
        raise DataError(f"{where}: holds no arrays")
    if has_blob(arrays):
        arrays = {"x": decoded(arrays, where)}
    lengths = {name: len(array) if array.ndim else 0 for name, array in arrays.items()}
    count = next(iter(lengths.values()))
    if count == 0 or len(set(lengths.values())) > 1:
        raise DataError(
            f"{where}: expected the same positive number of samples in every array, found {lengths}"
        )
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
