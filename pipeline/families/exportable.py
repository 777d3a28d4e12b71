"""A generator as `savedmodels` takes it: whole, and with styles in parts too."""

from __future__ import annotations

from typing import Any

import keras

from pipeline.families.network import one_or_list
from savedmodels.exportable import Exportable, StyleParts


def exportable_of(
    network: Any,
    model: keras.Model,
    *,
    resolution: int,
    fading: bool,
    discriminator: keras.Model | None = None,
) -> Exportable:
    """The models of an export, on the layers of `model`.

    Args:
        network: Network that made the model.
        model: Latents to images.
        resolution: Resolution of the images, in pixels.
        fading: Whether it is being faded in.
        discriminator: Discriminator that is to be exported with it.
    """
    if not network.config.has_styles:
        return Exportable(model, discriminator=discriminator)
    synthesis = network.synthesis(resolution, fading=fading)
    styles = keras.Input(synthesis.inputs[0].shape[1:], name="styles")
    noise = [
        model.get_layer(f"{network.name}_{name}")(styles)
        for name in network.noise_shapes(resolution)
    ]
    images = synthesis(one_or_list([styles, *noise]))
    parts = StyleParts(
        mapping=network.mapping(),
        synthesis=keras.Model(styles, images, name=f"{synthesis.name}_fixed"),
        truncation=network.truncation,
    )
    return Exportable(model, styles=parts, discriminator=discriminator)
