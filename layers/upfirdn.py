"""FIR filters (finite impulse response) for images: blur, resample, or resample and convolve."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from layers.resample import Resample2D, enlarged_shape, reduced_shape

BILINEAR = (1.0, 3.0, 3.0, 1.0)  # Taps (coefficients) of StyleGAN2's resampling filter.


def check_taps(taps: Sequence[float]) -> tuple[float, ...]:
    """Convert the taps of a filter to floats, and check that a division by their sum is possible.

    Raises:
        ValueError: if there are no taps, or their sum is zero.
    """
    floats = tuple(float(tap) for tap in taps)
    if sum(floats) == 0:
        raise ValueError(f"`taps` must be given and not sum to zero. Received: taps={floats}")
    return floats


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
    filter lies inside the image, and keep every `down`-th pixel. With u for the padded image, T for
    the number of taps, and f for the taps divided by their sum, each axis computes
    `y[n] = gain^½ · Σ_j f[j] · u[n·down + T - 1 - j]`. The output has
    `(height·up + before + after - T) // down + 1` rows for `padding=(before, after)`.

    Args:
        images: Images of any float dtype, which the result keeps.
        taps: Taps of the separable filter, the same for height and width.
        up: Factor of enlargement.
        down: Factor of reduction.
        padding: Number of zeros before the first and after the last pixel of the enlarged image,
            for height and width alike; negative numbers crop.
        gain: Factor on the result.

    Source: the official `upfirdn2d` of StyleGAN2-ADA.
    """
    channels = images.shape[-1]
    # Mirror the taps, because Keras' convolutions are correlations.
    row = np.array(check_taps(taps))[::-1] / sum(taps)
    kernel = np.tile((gain * np.outer(row, row))[:, :, None, None], (1, 1, channels, 1))
    kernel = ops.convert_to_tensor(kernel, keras.backend.standardize_dtype(images.dtype))
    images = _pad_or_crop(_insert_zeros(images, up), *padding)
    return ops.depthwise_conv(images, kernel, strides=down, padding="valid")


def fir_up(images: Any, taps: Sequence[float], factor: int = 2) -> Any:
    """Enlarge with a filter, `(batch, height, width, channels) → (batch, height·factor, …)`.

    A constant image stays constant away from the border, if the sum of every `factor`-th tap is the
    same for each starting tap.
    """
    padding = ((len(taps) + factor - 1) // 2, (len(taps) - factor) // 2)
    return upfirdn2d(images, taps, up=factor, padding=padding, gain=factor**2)


def fir_down(images: Any, taps: Sequence[float], factor: int = 2) -> Any:
    """Reduce with a filter, `(batch, height, width, channels) → (batch, height/factor, …)`."""
    reduced_shape(images.shape, factor)  # Raise here: striding would drop leftover rows, columns.
    padding = ((len(taps) - factor + 1) // 2, (len(taps) - factor) // 2)
    return upfirdn2d(images, taps, down=factor, padding=padding)


def conv_up(images: Any, kernel: Any, taps: Sequence[float], *, fused: bool) -> Any:
    """Enlarge by 2 with a filter, then convolve with a kernel `(k, k, inputs, outputs)`, k odd.

    If `fused`, a transposed strided convolution precedes the filter; the result is the same.
    """
    # Pad with zeros only, and crop nothing between the two: then their order does not matter.
    side = kernel.shape[0]
    before = side // 2 + (len(taps) + 1) // 2
    after = side // 2 + (len(taps) - 2) // 2
    if not fused:
        images = upfirdn2d(images, taps, up=2, padding=(before, after), gain=4.0)
        return ops.conv(images, kernel, padding="valid")
    # Convolve before the filter: the strided form skips the zeros between pixels.
    # Its kernel is mirrored and has the shape (k, k, outputs, inputs), as Keras wants it.
    kernel = ops.transpose(ops.flip(kernel, axis=(0, 1)), (0, 1, 3, 2))
    images = ops.conv_transpose(images, kernel, strides=2, padding="valid")
    padding = (before - (side - 1), after - max(side - 2, 0))
    return upfirdn2d(images, taps, padding=padding, gain=4.0)


def conv_down(images: Any, kernel: Any, taps: Sequence[float], *, fused: bool) -> Any:
    """Convolve with a kernel `(k, k, inputs, outputs)`, k odd, then reduce by 2 with a filter.

    If `fused`, the filter comes first and a strided convolution second; the result is the same.
    """
    reduced_shape(images.shape, 2)  # Raise here: striding would drop a leftover row or column.
    side = kernel.shape[0]
    padding = (side // 2 + (len(taps) - 1) // 2, side // 2 + (len(taps) - 2) // 2)
    if not fused:
        images = ops.conv(_pad_or_crop(images, *padding), kernel, padding="valid")
        return upfirdn2d(images, taps, down=2)
    # Do not merge a 4×4 filter and a 3×3 kernel into one 6×6 kernel: it takes 36 multiplications
    # per pixel for each pair of input and output maps. The convolution alone takes 9, and the
    # filter runs once per input map.
    images = upfirdn2d(images, taps, padding=padding)
    return ops.conv(images, kernel, strides=2, padding="valid")


def _insert_zeros(images: Any, factor: int) -> Any:
    """Insert `factor - 1` zeros after every pixel."""
    if factor == 1:
        return images
    batch, height, width, channels = ops.shape(images)
    zeros = (0, factor - 1)
    # Let samples and rows share an axis, because TFLite pads at most five axes.
    images = ops.reshape(images, (-1, 1, width, 1, channels))
    images = ops.pad(images, ((0, 0), zeros, (0, 0), zeros, (0, 0)))
    return ops.reshape(images, (batch, height * factor, width * factor, channels))


def _pad_or_crop(images: Any, before: int, after: int) -> Any:
    """Pad height and width with zeros; negative numbers crop."""
    kept = slice(max(-before, 0), -max(-after, 0) or None)  # None, as a slice to 0 is empty.
    zeros = (max(before, 0), max(after, 0))
    images = images[:, kept, kept] if min(before, after) < 0 else images
    return ops.pad(images, ((0, 0), zeros, zeros, (0, 0))) if any(zeros) else images


@keras.saving.register_keras_serializable(package="growgan")
class Blur(keras.layers.Layer):
    """Blur every channel with the same small filter; zero padding keeps the size.

    Correlates x with `(f ⊗ f) / sum(f ⊗ f)` for the taps f.

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
        # Refuse an even number of taps: it would shift images by half a pixel.
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
    """Base class of layers that resample images with a FIR filter."""

    def __init__(self, factor: int = 2, taps: Sequence[float] = BILINEAR, **kwargs: Any) -> None:
        super().__init__(factor, **kwargs)
        self.taps = check_taps(taps)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "taps": self.taps}


@keras.saving.register_keras_serializable(package="growgan")
class FIRUp2D(_FIR2D):
    """Enlarge images by an integer factor with a FIR filter, like `fir_up`.

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
    """Reduce images by an integer factor with a FIR filter, like `fir_down`.

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
