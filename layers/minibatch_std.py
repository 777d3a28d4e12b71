"""Minibatch standard deviation: feature maps that show the discriminator a lack of variety."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="growgan")
class MinibatchStd(keras.layers.Layer):
    """Append the standard deviation across each group of samples to their feature maps.

    A batch of N is split into N/G groups of `G = min(group_size, N)` samples. Groups are strided:
    sample i belongs to group `i mod (N/G)`. Each group's statistic is
    `s = mean_{h,w,c} sqrt(var_group(x) + epsilon)`, with the biased variance over the group's
    samples, in float32 at least. Every sample of the group gets s as a constant map.

    Args:
        group_size: Samples per group. The batch size must be a multiple of it, or smaller.
        features: Number of maps to append. Channels are split into this many equal parts, and each
            part is averaged into one map.
        epsilon: Added to the variance; keeps the gradient finite where samples are equal.

    Call: `(batch, height, width, channels) → (batch, height, width, channels + features)`.

    Raises:
        ValueError: if `group_size` or `features` is not positive, the batch does not divide into
            groups, or the channels do not divide into `features` parts.

    Example:
        >>> MinibatchStd()(keras.ops.ones((8, 4, 4, 16))).shape
        TensorShape([8, 4, 4, 17])

    Source: arXiv:1710.10196, section 3; groups and `features` from arXiv:1812.04948's code.
    """

    def __init__(
        self, group_size: int = 4, features: int = 1, epsilon: float = 1e-8, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        if group_size < 1:
            raise ValueError(f"`group_size` must be at least 1. Received: group_size={group_size}")
        if features < 1:
            raise ValueError(f"`features` must be at least 1. Received: features={features}")
        self.group_size = group_size
        self.features = features
        self.epsilon = epsilon

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        channels = input_shape[-1]
        if channels is None or channels % self.features:
            raise ValueError(
                f"the number of channels must be a multiple of `features`={self.features}. "
                f"Received: channels={channels}"
            )

    def call(self, inputs: Any) -> Any:
        batch, height, width, channels = ops.shape(inputs)
        # Check the batch size if it is known; in an exported graph it is not.
        if isinstance(batch, int):
            group = min(self.group_size, batch)
            if batch % group:
                raise ValueError(
                    f"the batch must be a multiple of `group_size`={self.group_size}. "
                    f"Received: batch={batch}"
                )
        else:
            group = ops.minimum(self.group_size, batch)
        # Use float32 at least: half precision would lose the variance to rounding.
        x = ops.cast(inputs, keras.backend.result_type(self.compute_dtype, "float32"))
        # Put the group's axis first: then its members are strided, as in the official code. A
        # replica's share of the batch is strided too, so groups do not depend on the replica count.
        x = ops.reshape(x, (group, -1, height, width, self.features, channels // self.features))
        x = x - ops.mean(x, axis=0, keepdims=True)
        deviation = ops.sqrt(ops.mean(ops.square(x), axis=0) + self.epsilon)
        statistic = ops.mean(deviation, axis=(1, 2, 4))
        statistic = ops.reshape(statistic, (1, -1, 1, 1, self.features))
        maps = ops.broadcast_to(statistic, (group, batch // group, height, width, self.features))
        maps = ops.reshape(maps, (batch, height, width, self.features))
        return ops.concatenate([inputs, ops.cast(maps, self.compute_dtype)], axis=-1)

    def compute_output_shape(self, input_shape: tuple[Any, ...]) -> tuple[int | None, ...]:
        return (*input_shape[:-1], input_shape[-1] + self.features)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "group_size": self.group_size,
            "features": self.features,
            "epsilon": self.epsilon,
        }
