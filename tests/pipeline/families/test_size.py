"""Sizes of networks: each kind of layer by hand, and whole networks without their weights."""

from __future__ import annotations

from typing import Any

import keras
import pytest

from layers.adain import AdaIN
from layers.equalized import EqualizedConv2D, EqualizedDense
from layers.modulated import ModulatedConv2D
from layers.upfirdn import Blur, FIRDown2D, FIRUp2D
from pipeline.families import size
from pipeline.families.progan.config import ProGANConfig
from pipeline.families.size import Size, size_of, sizes_of

TAPS = (1, 3, 3, 1)


@pytest.mark.parametrize(
    ("layer", "expected"),
    [
        (EqualizedConv2D(5, 3), Size(9 * 15 + 5, 48 * 9 * 15, 48 * 5)),
        (EqualizedConv2D(5, 1, use_bias=False), Size(15, 48 * 15, 48 * 5)),
        # A strided convolution with a kernel of 4x4, over the pixels of the smaller side.
        (EqualizedConv2D(5, 3, resample="up"), Size(9 * 15 + 5, 48 * 16 * 15, 192 * 5)),
        (EqualizedConv2D(5, 3, resample="down"), Size(9 * 15 + 5, 12 * 16 * 15, 12 * 5)),
        # 8 by 6 pixels become 17 by 13 by the convolution, and 16 by 12 by the filter.
        (
            EqualizedConv2D(5, 3, resample="up", taps=TAPS),
            Size(9 * 15 + 5, 48 * 9 * 15 + 16 * 192 * 5, 17 * 13 * 5 + 192 * 5),
        ),
        # They become 9 by 7 by the filter, and 4 by 3 by the convolution.
        (
            EqualizedConv2D(5, 3, resample="down", taps=TAPS),
            Size(9 * 15 + 5, 12 * 9 * 15 + 16 * 9 * 7 * 3, 9 * 7 * 3 + 12 * 5),
        ),
        (Blur(), Size(0, 9 * 48 * 3, 48 * 3)),
        (FIRUp2D(taps=TAPS), Size(0, 16 * 192 * 3, 192 * 3)),
        (FIRDown2D(taps=TAPS), Size(0, 16 * 12 * 3, 12 * 3)),
        (EqualizedDense(5), Size(3 * 5 + 5, 3 * 5, 48 * 5)),
        (keras.layers.LeakyReLU(), Size(0, 0, 0)),
    ],
)
def test_a_layer_on_3_maps_of_8_by_6(layer: keras.layers.Layer, expected: Size) -> None:
    images = keras.Input((8, 6, 3))
    assert size_of(keras.Model(images, layer(images))) == expected


@pytest.mark.parametrize(
    ("layer", "expected"),
    [
        (AdaIN(), Size(7 * 6 + 6, 7 * 6, 6)),
        (ModulatedConv2D(5, 3), Size(9 * 15 + 5, 48 * 9 * 15, 48 * 5)),
    ],
)
def test_a_layer_with_styles(layer: keras.layers.Layer, expected: Size) -> None:
    images = keras.Input((8, 6, 3))
    styles = keras.Input((7 if isinstance(layer, AdaIN) else 3,))
    assert size_of(keras.Model([images, styles], layer([images, styles]))) == expected


def test_models_that_share_their_layers() -> None:
    """ProGAN of 4 maps, 3 latents and grey images, at 4 px, and while 8 px fade in."""
    config = ProGANConfig(fmap_max=4, latent_size=3)
    [(generator, discriminator), (fading, _)] = sizes_of(
        config, [(4, False), (8, True)], channels=1, label_size=2
    )
    first = (5 * 64 + 4) + (9 * 16 + 4)
    assert generator == Size(first + 5, 5 * 64 + 16 * 9 * 16 + 16 * 4, 64 + 16 * 4 + 16)
    added = Size(2 * (9 * 16 + 4) + 5, 16 * 16 * 16 + 64 * 9 * 16 + 64 * 4, 2 * 64 * 4 + 64)
    assert fading == Size(
        generator.parameters + added.parameters,
        generator.multiplications + added.multiplications,
        generator.values + added.values,
    )
    assert discriminator == Size(
        (4 + 4) + (9 * 5 * 4 + 4) + (64 * 4 + 4) + (4 * 3 + 3),
        16 * 4 + 16 * 9 * 5 * 4 + 64 * 4 + 4 * 3,
        16 * 4 + 16 * 4 + 4 + 3,
    )


def test_no_weight_is_ever_made(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not while sizes are counted, and not when Keras next makes variables."""
    made: list[keras.Variable] = []

    def counting(model: keras.Model) -> Size:
        made.extend(model.variables)
        return size_of(model)

    monkeypatch.setattr(size, "size_of", counting)
    settings: dict[str, Any] = {"channels": 3, "label_size": 0}
    sizes_of(ProGANConfig(fmap_max=4, latent_size=3), [(8, True)], **settings)
    with keras.StatelessScope():
        pass
    keras.layers.Dense(1).build((None, 1))
    assert made
    assert all(variable._value is None for variable in made)
