"""Official StyleGAN2 weights from PyTorch: the configuration of equal networks, and our names.

A state dict has no settings: sizes follow from shapes, and activations and the clamp of float16 are
assumed to be the official defaults.

Source: arXiv:1912.04958, arXiv:2006.06676 and the official `training/networks.py` of
StyleGAN2-ADA; StyleGAN3's `networks_stylegan2.py` has the same names.
"""

from __future__ import annotations

import re

import numpy as np

from pipeline.errors import UserError
from pipeline.families.network import START_RESOLUTION, filters, sides, stage_of
from pipeline.families.official.layouts import from_pixels, mirrored
from pipeline.families.official.pickles import Array
from pipeline.families.official.snapshot import NETWORKS, Snapshot
from pipeline.families.official.state_dicts import (
    AVERAGE,
    DISCRIMINATOR,
    GENERATOR,
    STATE,
    StateDict,
    networks_in,
)
from pipeline.families.stylegan2.config import StyleGAN2Config
from pipeline.untrusted.safe_pickle import shown

FUNCTIONS = STATE

NOT_SHOWN = frozenset({"mixing", "mapping_rate", "stddev_group", "fused"})
"""Keys of `network` that a state dict does not show; the configuration may set them."""

FILTER = np.outer([1, 3, 3, 1], [1, 3, 3, 1]) / 64

_AFFINE = r"(?:\.affine)?\.(?:weight|bias)"
_GENERATOR = re.compile(
    r"synthesis\.b\d+\."
    rf"(?:const|conv[01](?:{_AFFINE}|\.noise_strength|\.noise_const)|torgb{_AFFINE})"
    r"|mapping\.(?:w_avg|(?:embed|fc\d+)\.(?:weight|bias))"
)
_DISCRIMINATOR = re.compile(
    r"b\d+\.(?:fromrgb|conv[01]?|skip|fc|out)\.(?:weight|bias)"
    r"|mapping\.(?:embed|fc\d+)\.(?:weight|bias)"
)
_OURS = {"torgb": "to_rgb", "fromrgb": "from_rgb", "fc": "dense0", "out": "dense1"}


def snapshot_of(arrays: StateDict) -> Snapshot:
    """Convert a state dict to our configuration, names and layouts.

    If only one of G and G_ema is there, it serves as the other too.

    Raises:
        UserError: if no configuration of ours makes equal networks.
    """
    networks = networks_in(arrays)
    average = networks.get(AVERAGE) or networks[GENERATOR]
    generator, critic = networks.get(GENERATOR) or average, networks[DISCRIMINATOR]
    try:
        config, final, channels, label_size = _sizes(generator)
    except (LookupError, ValueError) as error:
        raise UserError(
            "a dump of weights must be of StyleGAN2's generator and discriminator. "
            "Received: another, or a part of one"
        ) from error
    if label_size and _mapping_layers(critic) != config.mapping_layers:
        raise UserError(
            "the mapping of D must have as many layers as that of G, as ours have. "
            f"Received: {_mapping_layers(critic)} and {config.mapping_layers}"
        )
    weights = {
        f"{name}_{weight}": value
        for name, state, known in zip(
            NETWORKS,
            (generator, critic, average),
            (_GENERATOR, _DISCRIMINATOR, _GENERATOR),
            strict=True,
        )
        for weight, value in _weights(state, known, final).items()
    }
    return Snapshot(
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
    found = (re.fullmatch(r"synthesis\.b(\d{1,4})\.conv1\.weight", name) for name in generator)
    final = max(int(each[1]) for each in found if each)
    maps = {
        side: len(generator[f"synthesis.b{side}.conv1.weight"])
        for side in (START_RESOLUTION, *sides(final))
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
        raise ValueError("feature maps that no two numbers give")
    return config, final, len(generator["synthesis.b4.torgb.bias"]), label_size


def _mapping_layers(state: StateDict) -> int:
    return sum(bool(re.fullmatch(r"mapping\.fc\d+\.weight", name)) for name in state)


def _weights(state: StateDict, known: re.Pattern[str], final: int) -> dict[str, Array]:
    weights = {}
    for name, value in state.items():
        # A buffer, not a weight: our filter is fixed, so another one would be another network.
        if name.endswith(".resample_filter"):
            if value.shape != FILTER.shape or not np.allclose(value, FILTER, atol=1e-6):
                raise UserError(f"`{shown(name)}` must be that of [1, 3, 3, 1]. Received: another")
            continue
        from_rgb = re.fullmatch(r"b(\d+)\.fromrgb\..*", name)
        if not known.fullmatch(name) or (from_rgb and int(from_rgb[1]) != final):
            raise UserError(
                "a dump must be of a generator with skips and a discriminator with residuals. "
                f"Received: {shown(name)}, which they do not have"
            )
        try:
            weight, ours = weight_of(name, value)
        except ValueError as error:
            raise UserError(
                f"`{shown(name)}` must have StyleGAN2's shape. Received: {list(value.shape)}"
            ) from error
        weights[weight] = ours
    return weights


def weight_of(name: str, value: Array) -> tuple[str, Array]:
    """Translate a parameter or buffer to our name, without the network's prefix, and our layout.

    Args:
        name: Official name, such as `synthesis.b16.conv0.weight`.
        value: Value of the parameter or buffer.

    Raises:
        ValueError: if it has another shape in StyleGAN2.
    """
    *path, kind = name.removeprefix("synthesis.").split(".")
    blocks = [re.sub(r"^b(\d+)$", r"\1x\1", re.sub(r"^fc(\d+)$", r"dense\1", x)) for x in path]
    part = "_".join(_OURS.get(block, block) for block in blocks)
    match kind:
        case "w_avg":
            return "truncation/mean", value
        case "const":
            return f"{part}_constant/constant", value.transpose(1, 2, 0)
        case "noise_strength":
            return f"{part}_noise/strength", value
        case "noise_const":
            number = 0 if blocks[0] == "4x4" else int(blocks[1].removeprefix("conv"))
            return f"noise_{blocks[0]}_{number}/map", value[..., None]
        case "bias":
            # Our styles are offsets from 1: 0 leaves a kernel unchanged.
            return f"{part}/bias", value - 1 if blocks[-1] == "affine" else value
    return f"{part}/kernel", _kernel(name, value)


def _kernel(name: str, value: Array) -> Array:
    if value.ndim == 4:
        # PyTorch has (outputs, inputs, rows, columns).
        kernel = value.transpose(2, 3, 1, 0)
        # The official up form applies its kernel mirrored; ours does not, in either form.
        up = name.startswith("synthesis.") and name.endswith(".conv0.weight")
        return mirrored(kernel) if up else kernel
    kernel = value.transpose(1, 0)
    return from_pixels(kernel) if name == "b4.fc.weight" else kernel
