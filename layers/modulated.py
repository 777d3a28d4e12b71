"""Convolution whose kernel a style modulates, sample by sample."""

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

    `w' = w * (1 + s)`, a factor for each input channel;
    `w'' = w' * rsqrt(sum_{k,k,inputs} w'² + epsilon)`, which makes the outputs' spread that of the
    inputs whatever the style; `y = gain * conv(x, w'') + b * bias_gain`. Factors are found in
    float32 at least. Without demodulation it is `EqualizedConv2D` with the kernel `w'`.

    A factor of an input channel may as well scale that channel, and one of an output channel what
    comes out: `modulation="features"` does so, and convolves the batch with one kernel.
    `"kernels"` makes the kernels and convolves the samples one by one. Both are the same function;
    the first is the faster one to train with, as one large convolution is faster than many small
    ones, and kernels are larger than feature maps where resolutions are low.

    Args:
        filters: Number of output channels.
        kernel_size: Side of the kernel, odd, in pixels.
        demodulate: Whether outputs are scaled back; not for to-RGB.
        modulation: Scaling of the styles: `"features"` or `"kernels"`.
        epsilon: Added to the sum of squares.
        **kwargs: Arguments of `EqualizedConv2D`. Demodulation undoes every scale of the kernel, but
            for `gain`.

    Call: `[(batch, height, width, channels), (batch, channels)] → (batch, height', width',
    filters)`. The second are the styles s, where 0 leaves the kernel as it is.

    Raises:
        ValueError: as `EqualizedConv2D`, and if `modulation` is unknown.

    Example:
        >>> x, styles = keras.ops.ones((2, 4, 4, 3)), keras.ops.zeros((2, 3))
        >>> ModulatedConv2D(8, resample="up", taps=(1, 3, 3, 1))([x, styles]).shape
        TensorShape([2, 8, 8, 8])

    Source: arXiv:1912.04958, section 2.2 and appendix B; the official `modulated_conv2d`, whose
    `fused_modconv` is `"kernels"` here, and whose styles are 1 + s. There float16 divides styles
    and kernels by their largest values and leaves it at that; ours multiplies by them after the
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
        # Styles must not be rounded before the sum of their squares is taken.
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
        kernel = self.kernel if self.demodulate else self.scaled_kernel()
        kernels = kernel[None] * styles[:, None, None, :, None]
        if self.demodulate:
            kernels = kernels * self._demodulation(styles)[:, None, None, None, :]
        samples = (features[:, None], kernels)
        return ops.map(lambda sample: self._convolve(*sample)[0], samples)

    def _on_features(self, features: Any, styles: Any) -> Any:
        if not self.demodulate:
            return self._convolve(self._scaled(features, styles), self.scaled_kernel())
        kernel, factors = self.kernel, self._demodulation(styles)
        if self.compute_dtype == "float16":
            # Or sums over a window would overflow.
            styles, largest = _split(styles, axis=-1)
            factors = factors * largest
            kernel, largest = _split(kernel, axis=(0, 1, 2))
            root = math.sqrt(math.prod(kernel.shape[:-1]))
            kernel, factors = kernel / root, factors * (root * largest[0, 0])
        outputs = self._convolve(self._scaled(features, styles), kernel)
        return self._scaled(outputs, factors)

    def _demodulation(self, styles: Any) -> Any:
        """`gain * rsqrt(sum w'² + epsilon)`, `(batch, channels) → (batch, filters)`."""
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
    """Values from -1 to 1 and the factor that makes them what they were, a constant to gradients.

    Their product does not depend on the factor, so its gradients are exact without the factor's.
    """
    largest = ops.stop_gradient(ops.max(ops.abs(values), axis=axis, keepdims=True))
    largest = ops.maximum(largest, 1e-8)
    return values / largest, largest
