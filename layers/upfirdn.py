"""FIR filters of images: blur, and resampling alone or fused with a convolution."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from layers.resample import Resample2D, enlarged_shape, reduced_shape

BILINEAR = (1.0, 3.0, 3.0, 1.0)
"""Taps of StyleGAN2's resampling filter."""


def checked_taps(taps: Sequence[float]) -> tuple[float, ...]:
    """Convert the taps of a filter to floats, and check them.

    Raises:
        ValueError: if there are no taps, or their sum is zero.
    """
    checked = tuple(float(tap) for tap in taps)
    if sum(checked) == 0:  # They are divided by their sum.
        raise ValueError(f"`taps` must be given and not sum to zero. Received: taps={checked}")
    return checked


def upfirdn2d(
    images: Any,
    taps: Sequence[float],
    *,
    up: int = 1,
    down: int = 1,
    padding: tuple[int, int] = (0, 0),
    gain: float = 1.0,
) -> Any:
    """Upsample, filter and downsample: `(batch, height, width, channels) → (…, channels)`.

    Along both axes: insert `up - 1` zeros after every pixel, pad with zeros, convolve where the
    filter lies inside the image, and keep every `down`-th pixel. With u for the padded image and f
    for the taps divided by their sum, `y[n] = gain^½ · Σ_j f[j] · u[n·down + taps - 1 - j]`. The
    output has `(height·up + before + after - taps) // down + 1` rows.

    Args:
        images: Images of any float dtype, which the result keeps.
        taps: Taps of the separable filter.
        up: Factor of enlargement.
        down: Factor of reduction.
        padding: Number of zeros before the first and after the last pixel of the enlarged image;
            negative numbers crop.
        gain: Factor on the result.

    Source: the official `upfirdn2d` of StyleGAN2-ADA.
    """
    channels = images.shape[-1]
    # Mirrored, because Keras' convolutions are correlations.
    row = np.array(checked_taps(taps))[::-1] / sum(taps)
    kernel = np.tile((gain * np.outer(row, row))[:, :, None, None], (1, 1, channels, 1))
    kernel = ops.convert_to_tensor(kernel, keras.backend.standardize_dtype(images.dtype))
    images = _padded(_spread(images, up), *padding)
    return ops.depthwise_conv(images, kernel, strides=down, padding="valid")


def fir_up(images: Any, taps: Sequence[float], factor: int = 2) -> Any:
    """Enlarge with a filter, `(batch, height, width, channels) → (batch, height·factor, …)`.

    Away from the border a constant image stays constant, if the taps of every phase of the filter
    have the same sum.
    """
    padding = ((len(taps) + factor - 1) // 2, (len(taps) - factor) // 2)
    return upfirdn2d(images, taps, up=factor, padding=padding, gain=factor**2)


def fir_down(images: Any, taps: Sequence[float], factor: int = 2) -> Any:
    """Reduce with a filter, `(batch, height, width, channels) → (batch, height/factor, …)`."""
    reduced_shape(images.shape, factor)  # Striding would drop the rows and columns left over.
    padding = ((len(taps) - factor + 1) // 2, (len(taps) - factor) // 2)
    return upfirdn2d(images, taps, down=factor, padding=padding)


def conv_up(images: Any, kernel: Any, taps: Sequence[float], *, fused: bool) -> Any:
    """Enlarge by 2 with a filter, then convolve with a kernel `(k, k, inputs, outputs)`, k odd.

    Fused, the convolution comes first, transposed and strided; the filter comes second.
    """
    # Zero outside and not cropped in between: the order of the two does not matter.
    side = kernel.shape[0]
    before = side // 2 + (len(taps) + 1) // 2
    after = side // 2 + (len(taps) - 2) // 2
    if not fused:
        images = upfirdn2d(images, taps, up=2, padding=(before, after), gain=4.0)
        return ops.conv(images, kernel, padding="valid")
    # Strided, it skips the zeros between pixels.
    # A transposed convolution applies its kernel mirrored, and takes (k, k, out, in).
    kernel = ops.transpose(ops.flip(kernel, axis=(0, 1)), (0, 1, 3, 2))
    images = ops.conv_transpose(images, kernel, strides=2, padding="valid")
    padding = (before - (side - 1), after - max(side - 2, 0))
    return upfirdn2d(images, taps, padding=padding, gain=4.0)


def conv_down(images: Any, kernel: Any, taps: Sequence[float], *, fused: bool) -> Any:
    """Convolve with a kernel `(k, k, inputs, outputs)`, k odd, then reduce by 2 with a filter.

    As in `conv_up` the order does not matter: fused, the filter comes first and the convolution is
    strided.
    """
    reduced_shape(images.shape, 2)  # Striding would drop a row or column left over.
    side = kernel.shape[0]
    padding = (side // 2 + (len(taps) - 1) // 2, side // 2 + (len(taps) - 2) // 2)
    if not fused:
        images = ops.conv(_padded(images, *padding), kernel, padding="valid")
        return upfirdn2d(images, taps, down=2)
    # Not one kernel for both: it would take 36 multiplications per pixel for each pair of maps. The
    # convolution takes 9, and the filter runs on each map alone.
    images = upfirdn2d(images, taps, padding=padding)
    return ops.conv(images, kernel, strides=2, padding="valid")


def _spread(images: Any, factor: int) -> Any:
    """Insert `factor - 1` zeros after every pixel."""
    if factor == 1:
        return images
    batch, height, width, channels = ops.shape(images)
    zeros = (0, factor - 1)
    # Samples and rows share an axis, because TFLite pads at most five axes.
    images = ops.reshape(images, (-1, 1, width, 1, channels))
    images = ops.pad(images, ((0, 0), zeros, (0, 0), zeros, (0, 0)))
    return ops.reshape(images, (batch, height * factor, width * factor, channels))


def _padded(images: Any, before: int, after: int) -> Any:
    """Pad height and width with zeros; negative numbers crop."""
    kept = slice(max(-before, 0), -max(-after, 0) or None)  # An end of 0 would keep nothing.
    zeros = (max(before, 0), max(after, 0))
    images = images[:, kept, kept] if min(before, after) < 0 else images
    return ops.pad(images, ((0, 0), zeros, zeros, (0, 0))) if any(zeros) else images


@keras.saving.register_keras_serializable(package="growgan")
class Blur(keras.layers.Layer):
    """Filter every channel with the same small kernel, zero-padded to keep the size.

    `y = x * (f ⊗ f) / sum(f ⊗ f)` for the taps f.

    Args:
        taps: Taps of the separable filter, an odd number so that images do not shift.

    Call: `(batch, height, width, channels) → same`.

    Raises:
        ValueError: if the number of taps is even or their sum is zero.

    Example:
        >>> Blur()(keras.ops.ones((1, 4, 4, 3))).shape
        TensorShape([1, 4, 4, 3])

    Source: the official StyleGAN `blur2d`; arXiv:1812.04948, section 2.1 (bilinear sampling).
    """

    def __init__(self, taps: Sequence[float] = (1.0, 2.0, 1.0), **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.taps = tuple(float(tap) for tap in taps)
        # An even number would shift images by half a pixel.
        if len(self.taps) % 2 == 0 or sum(self.taps) == 0:
            raise ValueError(
                f"`taps` must be odd in number and not sum to zero. Received: taps={self.taps}"
            )

    def call(self, inputs: Any) -> Any:
        kernel = np.outer(self.taps, self.taps)
        kernel = (kernel / kernel.sum())[:, :, None, None]
        channels = inputs.shape[-1]
        kernel = ops.convert_to_tensor(np.tile(kernel, (1, 1, channels, 1)), self.compute_dtype)
        return ops.depthwise_conv(inputs, kernel, padding="same")

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "taps": self.taps}


class _FIR2D(Resample2D):
    def __init__(self, factor: int = 2, taps: Sequence[float] = BILINEAR, **kwargs: Any) -> None:
        super().__init__(factor, **kwargs)
        self.taps = checked_taps(taps)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "taps": self.taps}


@keras.saving.register_keras_serializable(package="growgan")
class FIRUp2D(_FIR2D):
    """Enlarge by an integer factor with a FIR filter, like `fir_up`.

    Args:
        factor: Factor by which each side grows.
        taps: Taps of the separable filter.

    Call: `(batch, height, width, channels) → (batch, height·factor, width·factor, channels)`.

    Raises:
        ValueError: if `factor` is not positive, or the taps sum to zero.

    Example:
        >>> FIRUp2D()(keras.ops.ones((1, 4, 4, 3))).shape
        TensorShape([1, 8, 8, 3])

    Source: arXiv:1912.04958, appendix B; the official `upsample2d`.
    """

    def call(self, inputs: Any) -> Any:
        return fir_up(inputs, self.taps, self.factor)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return enlarged_shape(input_shape, self.factor)


@keras.saving.register_keras_serializable(package="growgan")
class FIRDown2D(_FIR2D):
    """Reduce by an integer factor with a FIR filter, like `fir_down`.

    Args:
        factor: Factor by which each side shrinks.
        taps: Taps of the separable filter.

    Call: `(batch, height, width, channels) → (batch, height/factor, width/factor, channels)`.

    Raises:
        ValueError: if `factor` is not positive, the taps sum to zero, or a side is not a multiple
            of the factor.

    Example:
        >>> FIRDown2D()(keras.ops.ones((1, 4, 4, 3))).shape
        TensorShape([1, 2, 2, 3])

    Source: arXiv:1912.04958, appendix B; the official `downsample2d`.
    """

    def call(self, inputs: Any) -> Any:
        return fir_down(inputs, self.taps, self.factor)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return reduced_shape(input_shape, self.factor)
