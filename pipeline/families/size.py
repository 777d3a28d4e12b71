"""Sizes of networks, counted before weights are allocated, for cost estimates and imports."""

from __future__ import annotations

import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import keras

from layers.adain import AdaIN
from layers.equalized import EqualizedConv2D, EqualizedDense
from layers.modulated import ModulatedConv2D
from layers.upfirdn import Blur, FIRDown2D, FIRUp2D
from pipeline.families.config import NetworkConfig
from pipeline.families.family import family_of
from pipeline.families.network import START_RESOLUTION
from pipeline.shape import Shape


@dataclass(frozen=True)
class Size:
    """Size of a network at one resolution."""

    parameters: int  # Number of trainable weights
    multiplications: int
    """Multiplications per image in dense layers, convolutions and blur filters; convolutions that
    resample are counted in their fused form."""
    values: int  # Numbers per image that these layers output


def sizes_of(
    config: NetworkConfig,
    models: Sequence[tuple[int, bool]],
    *,
    channels: int,
    label_size: int,
    start: Shape = (START_RESOLUTION, START_RESOLUTION),
) -> list[tuple[Size, Size]]:
    """Compute the sizes of generator and discriminator for each `(resolution, fading)`."""

    def sizes() -> list[tuple[Size, Size]]:
        settings = {"channels": channels, "label_size": label_size, "start": start}
        # Variables in this scope have a shape but no value. That takes no memory and does not
        # start TensorFlow, after which the CPU could no longer be divided into logical devices.
        with keras.StatelessScope(initialize_variables=False):
            generator, discriminator = (make(config, **settings) for make in family_of(config))
            return [
                (
                    size_of(generator.model(resolution, fading=fading)),
                    size_of(discriminator.model(resolution, fading=fading)),
                )
                for resolution, fading in models
            ]

    # Use a thread of its own: Keras lists variables without a value per thread, and would allocate
    # them in the thread's next scope.
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(sizes).result()


def size_of(model: keras.Model) -> Size:
    """Compute the size of a model from its kernels and the shapes of their inputs and outputs.

    The model may share layers with models of other resolutions: each layer works at one resolution.
    """
    counts = [_count(layer) for layer in model.layers]
    return Size(
        parameters=sum(math.prod(weight.shape) for weight in model.trainable_weights),
        multiplications=sum(multiplications for multiplications, _ in counts),
        values=sum(values for _, values in counts),
    )


def _count(layer: keras.layers.Layer) -> tuple[int, int]:
    """Count multiplications and output values of a layer; 0 and 0 for kinds not counted."""
    match layer:
        case AdaIN():
            return math.prod(layer.affine.kernel.shape), layer.affine.kernel.shape[-1]
        case Blur() | FIRUp2D() | FIRDown2D():
            values = math.prod(layer.output.shape[1:])
            return len(layer.taps) ** 2 * values, values
        case EqualizedConv2D():
            return _count_convolution(layer)
        case EqualizedDense():
            return math.prod(layer.kernel.shape), math.prod(layer.output.shape[1:])
    return 0, 0


def _count_convolution(layer: EqualizedConv2D) -> tuple[int, int]:
    features = layer.input[0] if isinstance(layer, ModulatedConv2D) else layer.input
    before, after = features.shape[1:], layer.output.shape[1:]
    # A convolution that resamples is computed at the pixels of the smaller image.
    multiplications = math.prod(layer.kernel.shape) * math.prod(min(before[:2], after[:2]))
    values = math.prod(after)
    if layer.resample is None:
        return multiplications, values
    if layer.taps is None:
        # The fused kernel is one row and one column larger.
        area = layer.kernel_size**2
        return multiplications * (layer.kernel_size + 1) ** 2 // area, values
    # The feature maps between convolution and blur filter have one more row and column.
    height, width, maps = after if layer.resample == "up" else before
    between = (height + 1) * (width + 1) * maps
    filtered = values if layer.resample == "up" else between
    return multiplications + len(layer.taps) ** 2 * filtered, values + between
