"""Import of official StyleGAN2 weights from PyTorch: configuration and names of equal networks.

A state dict has no settings: sizes follow from shapes of arrays, and activations and the clamp of
float16 are assumed to be the official defaults.

Source: arXiv:1912.04958, arXiv:2006.06676 and the official `training/networks.py` of
StyleGAN2-ADA; StyleGAN3's `networks_stylegan2.py` has the same names.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import partial

import numpy as np

from pipeline.errors import UserError
from pipeline.families.network import filters, stage_of
from pipeline.families.official.pickles import Array
from pipeline.families.official.rules import (
    Rule,
    from_first_pixels,
    layer,
    mirror,
    translate,
)
from pipeline.families.official.snapshot import OfficialSnapshot
from pipeline.families.official.state_dicts import STATE, StateDict, networks_in
from pipeline.families.stylegan2.config import StyleGAN2Config
from pipeline.untrusted.safe_pickle import escaped

FUNCTIONS = STATE  # Mark of files with state dicts, by which a file is recognised.

NOT_SHOWN = frozenset({"mixing", "mapping_rate", "stddev_group", "fused"})
"""Keys of `network` that a state dict does not determine; the configuration may set them."""

FILTER = np.outer([1, 3, 3, 1], [1, 3, 3, 1]) / 64
"""Resampling filter of the official networks, stored in state dicts as a buffer."""

# PyTorch orders kernels as (outputs, inputs, rows, columns).
_CONVOLUTION = partial(np.transpose, axes=(2, 3, 1, 0))
_DENSE = partial(np.transpose, axes=(1, 0))
_CONSTANT = partial(np.transpose, axes=(1, 2, 0))

# Names in PyTorch have dots, names in TensorFlow slashes.
_layer = partial(layer, separator=r"\.")


def _noise(noise: Array) -> Array:
    """Add the channel to a noise map `(rows, columns)`."""
    return noise[..., None]


_MAPPING = (
    *_layer(r"mapping\.fc(\d+)", r"mapping_dense\1", _DENSE),
    *_layer(r"mapping\.embed", "mapping_embed", _DENSE),
)
_BLOCK = r"synthesis\.b(\d+)"
_GENERATOR = (
    *_MAPPING,
    Rule(r"mapping\.w_avg", "truncation/mean"),
    Rule(rf"{_BLOCK}\.const", r"\1x\1_constant/constant", _CONSTANT),
    # Mirror the kernel: the official code mirrors it when it enlarges, ours never does.
    *_layer(rf"{_BLOCK}\.conv0", r"\1x\1_conv0", lambda kernel: mirror(_CONVOLUTION(kernel))),
    *_layer(rf"{_BLOCK}\.conv1", r"\1x\1_conv1", _CONVOLUTION),
    *_layer(rf"{_BLOCK}\.torgb", r"\1x\1_to_rgb", _CONVOLUTION),
    # Subtract 1 from the biases: our styles are offsets from 1, so 0 leaves a kernel unchanged.
    *_layer(rf"{_BLOCK}\.(conv[01])\.affine", r"\1x\1_\2_affine", _DENSE, lambda bias: bias - 1),
    *_layer(rf"{_BLOCK}\.torgb\.affine", r"\1x\1_to_rgb_affine", _DENSE, lambda bias: bias - 1),
    Rule(rf"{_BLOCK}\.(conv[01])\.noise_strength", r"\1x\1_\2_noise/strength"),
    # At 4 px conv1 is the only layer, so its noise map has the number 0.
    Rule(r"synthesis\.b4\.conv1\.noise_const", "noise_4x4_0/map", _noise),
    Rule(rf"{_BLOCK}\.conv([01])\.noise_const", r"noise_\1x\1_\2/map", _noise),
)
_DISCRIMINATOR = (
    *_MAPPING,
    *_layer(r"b(\d+)\.(conv[01]?|skip)", r"\1x\1_\2", _CONVOLUTION),
    *_layer(r"b4\.fc", "4x4_dense0", lambda kernel: from_first_pixels(_DENSE(kernel))),
    *_layer(r"b4\.out", "4x4_dense1", _DENSE),
)


def official_snapshot(arrays: StateDict) -> OfficialSnapshot:
    """Convert a state dict to our configuration, names and layouts.

    If G or its EMA, G_ema, is missing, the one that exists serves as both.

    Raises:
        UserError: if no configuration of ours makes equal networks.
    """
    networks = networks_in(arrays)
    average = networks.get("G_ema") or networks["G"]
    generator, critic = networks.get("G") or average, networks["D"]
    try:
        config, final, channels, label_size = _sizes(generator)
    except (LookupError, ValueError) as error:
        raise UserError(
            "a dump of weights must be of StyleGAN2's generator and discriminator. "
            "Received: other networks, or only a part of these"
        ) from error
    if label_size and _mapping_layers(critic) != config.mapping_layers:
        raise UserError(
            "the mapping of D must have as many layers as that of G, as ours have. "
            f"Received: {_mapping_layers(critic)} and {config.mapping_layers}"
        )
    # Accept from-RGB at the final resolution only: more of them mean a discriminator with skips.
    from_rgb = _layer(rf"b{final}\.fromrgb", f"{final}x{final}_from_rgb", _CONVOLUTION)
    weights = {
        **_weights("generator", generator, _GENERATOR),
        **_weights("discriminator", critic, (*_DISCRIMINATOR, *from_rgb)),
        **_weights("average", average, _GENERATOR),
    }
    return OfficialSnapshot(
        network=config,
        channels=channels,
        label_size=label_size,
        final=final,
        resolution=final,
        fading=False,
        weights=weights,
        not_shown=NOT_SHOWN,
    )


def _sizes(generator: StateDict) -> tuple[StyleGAN2Config, int, int, int]:
    """Derive configuration, resolution, channels and number of classes from a generator."""
    matches = (re.fullmatch(r"synthesis\.b(\d{1,4})\.conv1\.weight", name) for name in generator)
    final = max(int(match[1]) for match in matches if match)
    maps = {
        side: len(generator[f"synthesis.b{side}.conv1.weight"])
        for side in (2 << stage for stage in range(1, stage_of(final) + 1))
    }
    # The first layer of the mapping takes the latents and the embedded label.
    embedded, label_size = generator.get("mapping.embed.weight", np.empty((0, 0))).shape
    config = StyleGAN2Config(
        latent_size=generator["mapping.fc0.weight"].shape[1] - embedded,
        fmap_base=maps[final] << stage_of(final),
        fmap_max=max(maps.values()),
        style_size=generator["synthesis.b4.conv1.affine.weight"].shape[1],
        mapping_layers=_mapping_layers(generator),
        noise=any(name.endswith(".noise_strength") for name in generator),
    )
    if maps != {side: filters(config, stage_of(side)) for side in maps}:
        raise ValueError("feature maps that no `fmap_base` and `fmap_max` give")
    return config, final, len(generator["synthesis.b4.torgb.bias"]), label_size


def _mapping_layers(state: StateDict) -> int:
    return sum(bool(re.fullmatch(r"mapping\.fc\d+\.weight", name)) for name in state)


def _weights(network: str, state: StateDict, rules: Sequence[Rule]) -> dict[str, Array]:
    weights = {}
    for name, value in state.items():
        # Check the filter and leave it out: a buffer, which in our networks is always this one.
        if name.endswith(".resample_filter"):
            if value.shape != FILTER.shape or not np.allclose(value, FILTER, atol=1e-6):
                raise UserError(
                    f"`{escaped(name)}` must be the filter [1, 3, 3, 1]. Received: another filter"
                )
            continue
        try:
            weight, ours = translate(name, value, rules)
        except LookupError as error:
            raise UserError(
                "a dump must be of a generator with skips and a discriminator with residuals. "
                f"Received: {escaped(name)}, which they do not have"
            ) from error
        except ValueError as error:
            raise UserError(
                f"`{escaped(name)}` must have StyleGAN2's shape. Received: {list(value.shape)}"
            ) from error
        weights[f"{network}_{weight}"] = ours
    return weights
