"""StyleGAN2's convolution, whose kernel each sample's style modulates (scales)."""

from __future__ import annotations

import math
from typing import Any, Literal

import keras
from keras import ops

from layers.equalized import EqualizedConv2D

Modulation = Literal["features", "kernels"]


@keras.saving.register_keras_serializable(package="growgan")
class ModulatedConv2D(EqualizedConv2D):
    """Convolve every sample with the shared kernel w, scaled by the sample's style s.

    1. Modulate: `w' = w * (1 + s)`, with one factor per input channel.
    2. Demodulate: `w'' = w' * rsqrt(sum_{k,k,inputs} w'² + epsilon)`, so that the style does not
       change the standard deviation of the outputs.
    3. Convolve: `y = gain * conv(x, w'') + b * bias_gain * lr_multiplier`.

    Factors are computed in float32 at least. With `demodulate=False` the layer is `EqualizedConv2D`
    with `w'` for w.

    `modulation` selects one of two ways to compute the same function. `"kernels"` makes a kernel
    for each sample and convolves the samples one by one. `"features"` convolves the whole batch
    with one kernel, and scales channels of features before and of outputs after; it trains faster.

    Args:
        filters: Number of output channels.
        kernel_size: Side of the kernel in pixels, odd.
        demodulate: True to demodulate; False for to-RGB.
        modulation: Tensors to scale by the style: `"features"` or `"kernels"`.
        epsilon: Added to the sum of squares.
        **kwargs: Other arguments of `EqualizedConv2D`. Demodulation cancels every scale of the
            kernel except `gain`.

    Call: `[(batch, height, width, channels), (batch, channels)] → (batch, height', width',
    filters)`. The second input holds the styles s; s = 0 does not modulate.

    Raises:
        ValueError: as `EqualizedConv2D`, and if `modulation` is unknown.

    Example:
        >>> x, styles = keras.ops.ones((2, 4, 4, 3)), keras.ops.zeros((2, 3))
        >>> ModulatedConv2D(8, resample="up", taps=(1, 3, 3, 1))([x, styles]).shape
        TensorShape([2, 8, 8, 8])

    Source: arXiv:1912.04958, section 2.2 and appendix B; the official `modulated_conv2d`, whose
    `fused_modconv` is `"kernels"` here, and whose styles are 1 + s. Under float16 the official code
    divides styles and kernels by their largest values before the convolution; ours also multiplies
    by these values after it, so it is the same function in every precision.
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
        # Switch autocasting off: it would round styles before their squares are summed.
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
        convolve = (
            self._convolve_kernels if self.modulation == "kernels" else self._convolve_features
        )
        return self._add_bias(convolve(features, styles))

    def _convolve_kernels(self, features: Any, styles: Any) -> Any:
        # Skip the equalized scale before demodulation, which would cancel it.
        kernel = self.kernel if self.demodulate else self.scaled_kernel()
        kernels = kernel[None] * styles[:, None, None, :, None]
        if self.demodulate:
            kernels = kernels * self._demodulation_factors(styles)[:, None, None, None, :]
        samples = (features[:, None], kernels)
        return ops.map(lambda sample: self._convolve(*sample)[0], samples)

    def _convolve_features(self, features: Any, styles: Any) -> Any:
        # Faster than kernels per sample: one large convolution beats many small ones, and at low
        # resolutions kernels are larger than feature maps.
        if not self.demodulate:
            return self._convolve(self._scale_channels(features, styles), self.scaled_kernel())
        kernel, factors = self.kernel, self._demodulation_factors(styles)
        if self.compute_dtype == "float16":
            # Make styles and kernel small before the convolution, whose sums would overflow
            # otherwise; multiply the outputs by the divisors.
            styles, divisor = _divide_by_largest(styles, axis=-1)
            factors = factors * divisor
            kernel, divisor = _divide_by_largest(kernel, axis=(0, 1, 2))
            root = math.sqrt(math.prod(kernel.shape[:-1]))
            kernel, factors = kernel / root, factors * (root * divisor[0, 0])
        outputs = self._convolve(self._scale_channels(features, styles), kernel)
        return self._scale_channels(outputs, factors)

    def _demodulation_factors(self, styles: Any) -> Any:
        """Compute `gain * rsqrt(sum w'² + epsilon)`, `(batch, channels) → (batch, filters)`."""
        # Multiply the squares of styles and kernel, so that no kernel per sample is in memory.
        power = ops.sum(ops.square(self.kernel), axis=(0, 1))
        return self.gain * ops.rsqrt(ops.matmul(ops.square(styles), power) + self.epsilon)

    def _scale_channels(self, features: Any, factors: Any) -> Any:
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


def _divide_by_largest(values: Any, axis: int | tuple[int, ...]) -> tuple[Any, Any]:
    """Divide values by their largest magnitude; return quotients and magnitude (at least 1e-8).

    The magnitude has no gradient. The caller multiplies by it again, so gradients stay exact.
    """
    largest = ops.stop_gradient(ops.max(ops.abs(values), axis=axis, keepdims=True))
    largest = ops.maximum(largest, 1e-8)
    return values / largest, largest
