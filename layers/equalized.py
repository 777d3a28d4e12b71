"""Dense and convolution layers with an equalized learning rate; convolutions can resample."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal

import keras
from keras import ops

from layers.resample import box_down, enlarged_shape, nearest_up, reduced_shape
from layers.upfirdn import check_taps, conv_down, conv_up

Resample = Literal["up", "down"]


class _Equalized(keras.layers.Layer):
    """Base class with the weights of an equalized layer: a kernel and a bias, each with its scale.

    The kernel w is initialised from a normal distribution with standard deviation
    `1 / lr_multiplier`, and used as `w * gain / sqrt(fan_in) * lr_multiplier`. The bias starts at 0
    and is multiplied by `bias_gain * lr_multiplier`. Both are scaled in float32 and only then cast
    to the compute dtype.
    """

    def __init__(
        self,
        gain: float = math.sqrt(2),
        lr_multiplier: float = 1.0,
        use_bias: bool = True,
        bias_gain: float = 1.0,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.gain = gain
        self.lr_multiplier = lr_multiplier
        self.use_bias = use_bias
        self.bias_gain = bias_gain
        self.seed = seed

    def _add_weights(self, kernel_shape: tuple[Any, ...], biases: int) -> None:
        # Scale at run time, not at initialisation: then Adam's steps have the same size relative to
        # the weights in every layer.
        fan_in = math.prod(kernel_shape[:-1])
        self._scale = self.gain / math.sqrt(fan_in) * self.lr_multiplier
        self.kernel = self.add_weight(
            shape=kernel_shape,
            initializer=keras.initializers.RandomNormal(
                stddev=1.0 / self.lr_multiplier, seed=self.seed
            ),
            name="kernel",
            autocast=False,  # Scaled in float32 first, then cast.
        )
        self.bias = (
            self.add_weight(shape=(biases,), initializer="zeros", name="bias", autocast=False)
            if self.use_bias
            else None
        )

    def scaled_kernel(self) -> Any:
        """Return the kernel as used: `w * gain / sqrt(fan_in) * lr_multiplier`, in float32."""
        return self.kernel * self._scale

    def _add_bias(self, outputs: Any) -> Any:
        if self.bias is None:
            return outputs
        bias = self.bias * (self.bias_gain * self.lr_multiplier)
        return outputs + ops.cast(bias, self.compute_dtype)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "gain": self.gain,
            "lr_multiplier": self.lr_multiplier,
            "use_bias": self.use_bias,
            "bias_gain": self.bias_gain,
            "seed": self.seed,
        }


@keras.saving.register_keras_serializable(package="growgan")
class EqualizedDense(_Equalized):
    """Fully connected layer that scales its weights at run time.

    `y = x @ (w * gain / sqrt(inputs) * lr_multiplier) + b * bias_gain * lr_multiplier`

    Args:
        units: Number of outputs; or the shape of a sample's output, which then has one bias per
            element of its last axis.
        gain: He gain: sqrt(2) before a leaky ReLU, 1 for a last layer or a style.
        lr_multiplier: Factor on the effective learning rate (StyleGAN's mapping: 0.01).
        use_bias: True to add a bias.
        bias_gain: Factor on the bias. StyleGAN2 multiplies the leaky ReLU's output by a gain g. As
            `g · lrelu(y) = lrelu(g · y)` for g > 0, `gain=g, bias_gain=g` has the same effect.
        seed: Seed of the initial weights; None draws one.

    Call: `(batch, inputs) → (batch, units)`, or `(batch, *units)` if `units` is a shape.

    Raises:
        ValueError: if `units` is not positive.

    Example:
        >>> EqualizedDense(8)(keras.ops.ones((2, 4))).shape
        TensorShape([2, 8])

    Source: arXiv:1710.10196, section 4.1; `lr_multiplier` from arXiv:1812.04948, appendix C.
    """

    def __init__(self, units: int | tuple[int, ...], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._output_shape = (units,) if isinstance(units, int) else tuple(units)
        self.units = units if isinstance(units, int) else self._output_shape
        if min(self._output_shape, default=0) < 1:
            raise ValueError(f"`units` must be at least 1. Received: units={units}")

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        outputs = math.prod(self._output_shape)
        self._add_weights((input_shape[-1], outputs), biases=self._output_shape[-1])

    def call(self, inputs: Any) -> Any:
        kernel = ops.cast(self.scaled_kernel(), self.compute_dtype)
        outputs = ops.matmul(inputs, kernel)
        if len(self._output_shape) > 1:
            outputs = ops.reshape(outputs, (-1, *self._output_shape))
        return self._add_bias(outputs)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return (*input_shape[:-1], *self._output_shape)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "units": self.units}


@keras.saving.register_keras_serializable(package="growgan")
class EqualizedConv2D(_Equalized):
    """Same-padded convolution that scales its weights at run time, and can resample by 2.

    `y = conv(x, w * gain / sqrt(k * k * inputs) * lr_multiplier) + b * bias_gain * lr_multiplier`

    Without `taps`, `resample="up"` enlarges by 2 (nearest neighbour) before the convolution, and
    `resample="down"` averages 2×2 boxes after it. `fused=True` computes the same function faster:
    one strided convolution, whose kernel of side k+1 sums four shifted copies of the k×k kernel.
    The stored weight is the k×k kernel in both cases, so checkpoints do not depend on `fused`.

    With `taps`, a FIR filter resamples, as in StyleGAN2. Then `fused=True` makes the convolution
    strided with its k×k kernel unchanged; the filter follows it for `"up"` and precedes it for
    `"down"`. This computes the same function as `fused=False`, because the image is padded with
    zeros once, for filter and convolution together.

    Args:
        filters: Number of output channels.
        kernel_size: Side of the kernel in pixels, odd.
        resample: `"up"` to enlarge by 2, `"down"` to reduce by 2, or None.
        fused: True to resample inside the convolution.
        taps: Taps of the separable resampling filter; None for nearest neighbour and box average.
        gain: He gain: sqrt(2) before a leaky ReLU, 1 for to-RGB.
        lr_multiplier: Factor on the effective learning rate.
        use_bias: True to add a bias.
        bias_gain: Factor on the bias, as in `EqualizedDense`.
        seed: Seed of the initial weights; None draws one.

    Call: `(batch, height, width, channels) → (batch, height', width', filters)`; height and width
    are doubled for `"up"` and halved for `"down"`, which takes even ones only.

    Raises:
        ValueError: if `filters` is not positive, `kernel_size` is not positive and odd, `resample`
            is unknown, the taps sum to zero, or `"down"` gets an odd height or width.

    Example:
        >>> EqualizedConv2D(8, 3, resample="up")(keras.ops.ones((2, 4, 4, 3))).shape
        TensorShape([2, 8, 8, 8])

    Source: arXiv:1710.10196, section 4.1 and the official `upscale2d_conv2d` and
    `conv2d_downscale2d`; with `taps` the official `conv2d_resample` of StyleGAN2-ADA. For fused
    `"up"` ours flips the kernel, so that fused and unfused agree. The official code does not, there
    and for `"up"` with `taps`: its weights are ours flipped.
    """

    def __init__(
        self,
        filters: int,
        kernel_size: int = 3,
        resample: Resample | None = None,
        fused: bool = True,
        taps: Sequence[float] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if filters < 1:
            raise ValueError(f"`filters` must be at least 1. Received: filters={filters}")
        if kernel_size < 1 or kernel_size % 2 == 0:
            raise ValueError(f"`kernel_size` must be odd. Received: kernel_size={kernel_size}")
        if resample not in (None, "up", "down"):
            raise ValueError(
                f'`resample` must be "up", "down" or None. Received: resample={resample!r}'
            )
        self.filters = filters
        self.kernel_size = kernel_size
        self.resample = resample
        self.fused = fused
        self.taps = None if taps is None else check_taps(taps)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        shape = (self.kernel_size, self.kernel_size, input_shape[-1], self.filters)
        self._add_weights(shape, biases=self.filters)

    def call(self, inputs: Any) -> Any:
        return self._add_bias(self._convolve(inputs, self.scaled_kernel()))

    def _convolve(self, inputs: Any, kernel: Any) -> Any:
        if self.resample and self.taps:
            convolve = conv_up if self.resample == "up" else conv_down
            kernel = ops.cast(kernel, self.compute_dtype)
            return convolve(inputs, kernel, self.taps, fused=self.fused)
        # Fuse into one strided convolution: it takes 2.25 times fewer multiplications for k = 3.
        if self.resample and self.fused:
            if self.resample == "up":
                # Mirror the kernel and swap its channel axes, as transposed convolutions need it.
                kernel = ops.transpose(ops.flip(kernel, axis=(0, 1)), (0, 1, 3, 2))
                kernel = ops.cast(_sum_of_shifts(kernel), self.compute_dtype)
                return ops.conv_transpose(inputs, kernel, strides=2, padding="same")
            # Refuse odd heights and widths, as `box_down` does; a strided convolution takes them.
            reduced_shape(inputs.shape, 2)
            # Sum before the cast, so that half precision rounds once.
            kernel = ops.cast(_sum_of_shifts(kernel) * 0.25, self.compute_dtype)
            return ops.conv(inputs, kernel, strides=2, padding="same")
        kernel = ops.cast(kernel, self.compute_dtype)
        if self.resample == "up":
            inputs = nearest_up(inputs, 2)
        outputs = ops.conv(inputs, kernel, padding="same")
        return box_down(outputs, 2) if self.resample == "down" else outputs

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        if self.resample == "up":
            input_shape = enlarged_shape(input_shape, 2)
        elif self.resample == "down":
            input_shape = reduced_shape(input_shape, 2)
        return (*input_shape[:-1], self.filters)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "filters": self.filters,
            "kernel_size": self.kernel_size,
            "resample": self.resample,
            "fused": self.fused,
            "taps": self.taps,
        }


def _sum_of_shifts(kernel: Any) -> Any:
    """Convolve a kernel with a 2×2 box of ones, `(k, k, in, out) → (k+1, k+1, in, out)`."""
    none, before, after = (0, 0), (1, 0), (0, 1)  # padding of an axis
    rows = ops.pad(kernel, (before, none, none, none)) + ops.pad(kernel, (after, none, none, none))
    return ops.pad(rows, (none, before, none, none)) + ops.pad(rows, (none, after, none, none))
