"""ProGAN: a generator and a discriminator that grow by one block per resolution.

Source: arXiv:1710.10196, table 2, and the official `G_paper` and `D_paper`. As in the official
code, the discriminator averages pixels before the activation if `fused`, else after it, which are
different functions. In the generator `fused` does not change the function.
"""

from __future__ import annotations

import keras

from layers.pixel_norm import PixelNorm
from layers.resample import BoxDown2D
from pipeline.families.growing import FIRST_DENSE_GAIN, GrowingDiscriminator, GrowingGenerator
from pipeline.families.network import START_RESOLUTION, Block, chain, one_or_list, stage_of
from pipeline.families.progan.config import ProGANConfig


class Generator(GrowingGenerator):
    """ProGAN's generator: latents to images.

    Example:
        >>> generator = Generator(ProGANConfig(fmap_max=8, latent_size=8), channels=3)
        >>> generator.model(8, fading=True).output_shape
        (None, 8, 8, 3)
    """

    config: ProGANConfig

    def model(self, resolution: int, *, fading: bool) -> keras.Model:
        """Build the model that makes images of `resolution` pixels.

        Call: `(batch, latent_size)`, with labels `[latents, (batch, label_size)]`, →
        `(batch, resolution, resolution, channels)`, float32, about [-1, 1], not clipped. While
        fading, `self.fade.alpha` is the weight of the new block.
        """
        inputs = self._inputs()
        x = inputs[0]
        if self.label_size:
            x = self._layer(keras.layers.Concatenate, "condition", dtype="float32")(inputs)
        # Normalise latents and labels together, as the official code does.
        x = self._layer(PixelNorm, "normalise_latents", dtype="float32")(x)
        x = chain(self._first_block(), x)
        size, before = START_RESOLUTION, x
        while size < resolution:
            size, before = size * 2, x
            x = chain(self._block(size), x)
        images = self._images(size, x, before, fading=fading)
        return keras.Model(one_or_list(inputs), images, name=f"{self.name}_{size}x{size}")

    def _with_norm(self, part: str, layer: keras.layers.Layer) -> Block:
        return (layer, self._leaky(part), self._layer(PixelNorm, f"{part}_norm"))

    def _first_block(self) -> Block:
        def make() -> Block:
            filters = self._filters(1)
            shape = (START_RESOLUTION, START_RESOLUTION, filters)
            dense = self._dense("4x4_dense", shape, gain=FIRST_DENSE_GAIN)
            return (
                *self._with_norm("4x4_dense", dense),
                *self._with_norm("4x4_conv", self._conv("4x4_conv", filters)),
            )

        return self._get_or_make("4x4", make)

    def _block(self, size: int) -> Block:
        key = f"{size}x{size}"

        def make() -> Block:
            filters = self._filters(stage_of(size))
            up = self._conv(f"{key}_conv0", filters, resample="up", fused=self.config.fused)
            return (
                *self._with_norm(f"{key}_conv0", up),
                *self._with_norm(f"{key}_conv1", self._conv(f"{key}_conv1", filters)),
            )

        return self._get_or_make(key, make)


class Discriminator(GrowingDiscriminator):
    """ProGAN's discriminator: images to scores and, with labels, to logits of the classes.

    Example:
        >>> discriminator = Discriminator(ProGANConfig(fmap_max=8), channels=3)
        >>> discriminator.model(8, fading=True).output_shape
        (None, 1)
    """

    def model(self, resolution: int, *, fading: bool) -> keras.Model:
        """Build the model that scores images of `resolution` pixels.

        Call: `(batch, resolution, resolution, channels)` → `{"scores": (batch, 1)}`, with labels
        also `"logits": (batch, label_size)`, float32. While fading, `self.fade.alpha` is the weight
        of the new block.
        """
        images = keras.Input((resolution, resolution, self.channels), name="images")
        # One dense layer makes scores and logits, as in the official code.
        units = self._outputs(images, count=1 + self.label_size, fading=fading)
        outputs = {"scores": units}
        if self.label_size:
            outputs = {"scores": units[:, :1], "logits": units[:, 1:]}
        return keras.Model(images, outputs, name=f"{self.name}_{resolution}x{resolution}")

    def _down(self, key: str, filters: int) -> Block:
        part = f"{key}_conv1"
        # Average before the activation if fused, else after it, as the official code does.
        if self.config.fused:
            return self._conv_and_activation(part, filters, resample="down")
        return (*self._conv_and_activation(part, filters), self._layer(BoxDown2D, f"{key}_down"))
