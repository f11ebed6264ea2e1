"""From stored images to the arrays a model expects, as ``resize=256 crop=224 scale=255`` describes it."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from passes.errors import DataError, UsageError, unknown_name

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

PRESETS = {
    "imagenet": "resize=256 crop=224 scale=255 mean=0.485,0.456,0.406 std=0.229,0.224,0.225",
    "tf": "resize=256 crop=224 scale=127.5 mean=1",
}


@dataclass(frozen=True, slots=True)
class Preprocess:
    """How an integer image becomes a float input: ``(x / scale - mean) / std`` after resizing and cropping.

    Attributes:
        resize: length of the shortest side after bilinear resizing; 0 leaves the size alone.
        crop: side of the centre crop; 0 keeps the whole image.
        scale: divisor of the stored values.
        mean: one value, or one per channel.
        std: one value, or one per channel.
        layout: ``nchw`` or ``nhwc``.
        order: ``rgb`` or ``bgr``.
    """

    resize: int = 0
    crop: int = 0
    scale: float = 255.0
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    layout: str = "nchw"
    order: str = "rgb"

    @classmethod
    def parse(cls, text: str) -> Preprocess:
        """Read a preset's name or ``key=value`` pairs.

        Raises:
            UsageError: an unknown key, or a value that is not of its kind.
        """
        pairs = dict(_pair(word) for word in PRESETS.get(text.strip(), text).split())
        known = [field.name for field in fields(cls)]
        for key in pairs:
            if key not in known:
                raise unknown_name("--preprocess key", key, known)
        try:
            step = cls(**{key: _PARSERS[key](value) for key, value in pairs.items()})
        except ValueError as error:
            raise UsageError(f"--preprocess {text!r}: {error}") from error
        if step.layout not in ("nchw", "nhwc") or step.order not in ("rgb", "bgr"):
            raise UsageError(f"--preprocess {text!r}: layout is nchw or nhwc, order is rgb or bgr")
        if not _divides((step.scale, *step.std)) or not np.isfinite(step.mean).all():
            raise UsageError(
                f"--preprocess {text!r}: scale, mean and std must be finite, scale and std not 0"
            )
        if step.resize < 0 or step.crop < 0:
            raise UsageError(f"--preprocess {text!r}: sizes must not be negative")
        return step

    def image(self, picture: Image.Image) -> NDArray[np.uint8]:
        """Resize and crop one picture to an (H, W, 3) array of bytes."""
        picture = picture.convert("RGB")
        width, height = picture.size
        if self.resize and min(width, height) != self.resize:
            ratio = self.resize / min(width, height)
            size = (max(round(width * ratio), self.resize), max(round(height * ratio), self.resize))
            picture = picture.resize(size, Image.Resampling.BILINEAR)
        return self._cropped(np.asarray(picture)[None]).squeeze(0)

    def normalize(self, images: NDArray[np.uint8], dtype: np.dtype[np.generic]) -> NDArray[np.generic]:
        """Turn (N, H, W, C) bytes into the model's input.

        Args:
            images: bytes, already resized and cropped.
            dtype: element type of the model's input; integer inputs take the bytes as they are.
        """
        ordered = images[..., ::-1] if self.order == "bgr" else images
        channels_last = self.layout == "nhwc"
        shape = ordered.shape if channels_last else (len(ordered), ordered.shape[3], *ordered.shape[1:3])
        if np.issubdtype(dtype, np.integer):
            source = ordered if channels_last else ordered.transpose(0, 3, 1, 2)
            return np.ascontiguousarray(source, dtype=dtype)
        table = self._table(ordered.shape[-1])
        out = np.empty(shape, dtype=np.float32)
        for channel in range(ordered.shape[-1]):
            plane = out[..., channel] if channels_last else out[:, channel]
            plane[...] = table[channel][ordered[..., channel]]
        return out

    def arrays(self, images: NDArray[np.uint8], dtype: np.dtype[np.generic]) -> NDArray[np.generic]:
        """Apply every step to stored (N, H, W, C) bytes."""
        resized = self.resize and min(images.shape[1:3]) != self.resize
        cut = (
            np.stack([self.image(Image.fromarray(image)) for image in images])
            if resized
            else self._cropped(images)
        )
        return self.normalize(cut, dtype)

    def _cropped(self, images: NDArray[np.uint8]) -> NDArray[np.uint8]:
        height, width = images.shape[1:3]
        if not self.crop:
            return images
        if self.crop > min(height, width):
            raise DataError(f"--preprocess: crop={self.crop} is larger than an image of {height} x {width}")
        top, left = (height - self.crop) // 2, (width - self.crop) // 2
        return images[:, top : top + self.crop, left : left + self.crop]

    def _table(self, channels: int) -> NDArray[np.float32]:
        """Return the value of each of the 256 bytes, per channel: (C, 256)."""
        mean = np.broadcast_to(np.array(self.mean, np.float32), (channels,))
        std = np.broadcast_to(np.array(self.std, np.float32), (channels,))
        bytes_ = np.arange(256, dtype=np.float32) / np.float32(self.scale)
        return ((bytes_[None] - mean[:, None]) / std[:, None]).astype(np.float32)


def _pair(word: str) -> tuple[str, str]:
    key, separator, value = word.partition("=")
    if not separator:
        raise UsageError(
            f"--preprocess: expected key=value pairs or a preset ({', '.join(PRESETS)}), found {word!r}"
        )
    return key, value


def _divides(values: tuple[float, ...]) -> bool:
    return bool(np.isfinite(values).all() and np.all(values))


def _floats(text: str) -> tuple[float, ...]:
    return tuple(float(part) for part in text.split(","))


_PARSERS: dict[str, Callable[[str], Any]] = {
    "resize": int, "crop": int, "scale": float, "mean": _floats, "std": _floats, "layout": str, "order": str,
}  # fmt: skip
