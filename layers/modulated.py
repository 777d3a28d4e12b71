"""Convolution whose kernel each sample's style modulates."""

from __future__ import annotations

import math
from typing import Any, Literal

import keras
from keras import ops

from layers.equalized import EqualizedConv2D

Modulation = Literal["features", "kernels"]


@keras.saving.register_keras_serializable(package="growgan")
class ModulatedConv2D(EqualizedConv2D):
    """Convolve every sample with a kernel of its own: the shared one, scaled by the sample's style.

    `w' = w * (1 + s)`, one factor per input channel;
    `w'' = w' * rsqrt(sum_{k,k,inputs} w'² + epsilon)`, so that the style does not change the
    deviation of the outputs; `y = gain * conv(x, w'') + b * bias_gain`. Factors are computed in
    float32 at least. Without demodulation it is `EqualizedConv2D` with the kernel `w'`.

    Scaling an input channel of the kernel equals scaling that channel of the features, and scaling
    an output channel of the kernel equals scaling the output. `modulation="features"` does the
    latter, and convolves the batch with one kernel. `"kernels"` makes the kernels and convolves the
    samples one by one. Both are the same function; `"features"` trains faster.

    Args:
        filters: Number of output channels.
        kernel_size: Side of the kernel in pixels, odd.
        demodulate: True to demodulate; false for to-RGB.
        modulation: Tensors that styles scale: `"features"` or `"kernels"`.
        epsilon: Added to the sum of squares.
        **kwargs: Arguments of `EqualizedConv2D`. Demodulation undoes every scale of the kernel
            except `gain`.

    Call: `[(batch, height, width, channels), (batch, channels)] → (batch, height', width',
    filters)`. The second input holds the styles s; 0 leaves the kernel unchanged.

    Raises:
        ValueError: as `EqualizedConv2D`, and if `modulation` is unknown.

    Example:
        >>> x, styles = keras.ops.ones((2, 4, 4, 3)), keras.ops.zeros((2, 3))
        >>> ModulatedConv2D(8, resample="up", taps=(1, 3, 3, 1))([x, styles]).shape
        TensorShape([2, 8, 8, 8])

    Source: arXiv:1912.04958, section 2.2 and appendix B; the official `modulated_conv2d`, whose
    `fused_modconv` is `"kernels"` here, and whose styles are 1 + s. Under float16 the official code
    divides styles and kernels by their largest values; ours multiplies by these again after the
    convolution, so it is the same function in every precision.
    """

    def __init__(
        self,
        filters: int,
        kernel_size: int = 3,
        demodulate: bool = True,
        modulation: Modulation = "features",
        epsilon: float = 1e-8,
        **kwargs: Any,
    ) -> None:
        # Autocasting would round styles before their squares are summed.
        super().__init__(filters, kernel_size, autocast=False, **kwargs)
        if modulation not in ("features", "kernels"):
            raise ValueError(
                f'`modulation` must be "features" or "kernels". Received: modulation={modulation!r}'
            )
        self.demodulate = demodulate
        self.modulation = modulation
        self.epsilon = epsilon

    def build(self, input_shape: Any) -> None:
        super().build(input_shape[0])

    def call(self, inputs: list[Any]) -> Any:
        features, styles = inputs
        features = ops.cast(features, self.compute_dtype)
        styles = 1.0 + ops.cast(styles, keras.backend.result_type(self.compute_dtype, "float32"))
        convolve = self._on_kernels if self.modulation == "kernels" else self._on_features
        return self._add_bias(convolve(features, styles))

    def _on_kernels(self, features: Any, styles: Any) -> Any:
        # Demodulation would undo the scale of the equalized learning rate.
        kernel = self.kernel if self.demodulate else self.scaled_kernel()
        kernels = kernel[None] * styles[:, None, None, :, None]
        if self.demodulate:
            kernels = kernels * self._demodulation(styles)[:, None, None, None, :]
        samples = (features[:, None], kernels)
        return ops.map(lambda sample: self._convolve(*sample)[0], samples)

    def _on_features(self, features: Any, styles: Any) -> Any:
        # Faster: one large convolution beats many small ones,
        # and at low resolutions kernels are larger than feature maps.
        if not self.demodulate:
            return self._convolve(self._scaled(features, styles), self.scaled_kernel())
        kernel, factors = self.kernel, self._demodulation(styles)
        if self.compute_dtype == "float16":
            # Sums over a window would overflow otherwise.
            styles, largest = _split(styles, axis=-1)
            factors = factors * largest
            kernel, largest = _split(kernel, axis=(0, 1, 2))
            root = math.sqrt(math.prod(kernel.shape[:-1]))
            kernel, factors = kernel / root, factors * (root * largest[0, 0])
        outputs = self._convolve(self._scaled(features, styles), kernel)
        return self._scaled(outputs, factors)

    def _demodulation(self, styles: Any) -> Any:
        """`gain * rsqrt(sum w'² + epsilon)`, `(batch, channels) → (batch, filters)`."""
        # As a product of squares, so that no kernel per sample has to be in memory.
        power = ops.sum(ops.square(self.kernel), axis=(0, 1))
        return self.gain * ops.rsqrt(ops.matmul(ops.square(styles), power) + self.epsilon)

    def _scaled(self, features: Any, factors: Any) -> Any:
        return features * ops.cast(factors, self.compute_dtype)[:, None, None, :]

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        return super().compute_output_shape(input_shape[0])

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "demodulate": self.demodulate,
            "modulation": self.modulation,
            "epsilon": self.epsilon,
        }


def _split(values: Any, axis: int | tuple[int, ...]) -> tuple[Any, Any]:
    """Divide values by their largest magnitude; also returns that magnitude, without a gradient.

    The product of both is the original value whatever the factor is, so gradients are exact.
    """
    largest = ops.stop_gradient(ops.max(ops.abs(values), axis=axis, keepdims=True))
    largest = ops.maximum(largest, 1e-8)
    return values / largest, largest
