"""Load official ProGAN, StyleGAN and StyleGAN2 weights into Keras models."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np

from pipeline.errors import UserError
from pipeline.families.family import family_of, module_of
from pipeline.families.official.pickles import Networks, read_networks
from pipeline.families.official.snapshot import NETWORKS, OfficialSnapshot, Weights
from pipeline.families.official.state_dicts import STATE, StateDict, read_state_dict
from pipeline.families.sections import FAMILIES
from pipeline.families.size import sizes_of
from pipeline.training.synthesis.phase_models import weights_of
from pipeline.untrusted.safe_pickle import escaped

DUMPS = (".npz", ".safetensors")
"""Suffixes of files with PyTorch state dicts; all other files are read as TensorFlow pickles."""

PYTORCH = (".pth", ".pt")  # Suffixes of pickles that PyTorch writes, which are refused.


@dataclass(frozen=True)
class OfficialModels:
    """Networks with published weights, at the resolution and fade of the file.

    Call of `generator` and `average`: latents `(batch, latent_size)`, with labels
    `[latents, (batch, classes)]`, → images `(batch, side, side, channels)`, float32, about [-1, 1],
    not clipped, not truncated, with the fixed noise of the file.

    Call of `discriminator`: images → `{"scores": (batch, 1)}`. With labels, ProGAN also returns
    `"logits": (batch, classes)`, and families with styles take `[images, labels]`.

    `average` is the EMA of the generator, which makes better images than `generator`.
    """

    generator: keras.Model
    discriminator: keras.Model
    average: keras.Model


def load_official(path: Path | str) -> OfficialModels:
    """Load a file of published weights; nothing in the file is executed.

    Raises:
        UserError: if the file cannot be read, holds anything else, or holds networks that our
            families cannot represent.

    Example:
        >>> models = load_official("karras2018iclr-celebahq-1024x1024.pkl")
        >>> models.average(keras.random.normal((1, 512))).shape
        TensorShape([1, 1024, 1024, 3])
    """
    return official_models(read_snapshot(Path(path)))


def read_snapshot(path: Path) -> OfficialSnapshot:
    """Read a file of published weights, and convert it to our names and layouts.

    Raises:
        UserError: as `load_official`.
    """
    if path.suffix in PYTORCH:
        raise UserError(
            "weights of PyTorch must be saved as .npz or .safetensors first (docs/import.md). PGAN "
            "of pytorch_GAN_zoo cannot be imported: it has a bias for each of the first 16 pixels, "
            "and computes the minibatch deviation in another way. "
            f"Received: {path}"
        )
    content: StateDict | Networks
    if path.suffix in DUMPS:
        content, functions = read_state_dict(path), STATE
    else:
        content = read_networks(path)
        # Drop the module, with which some files qualify the function.
        functions = tuple(each.function.rpartition(".")[2] for each in content)
    for section in FAMILIES:
        family = module_of(section, "official_weights")
        if functions == family.FUNCTIONS:
            snapshot: OfficialSnapshot = family.official_snapshot(content)
            return snapshot
    raise UserError(
        "official networks must be those of ProGAN or StyleGAN. "
        f"Received: {', '.join(map(escaped, functions))}"
    )


def official_models(snapshot: OfficialSnapshot) -> OfficialModels:
    """Build the models of a snapshot and assign their weights.

    Raises:
        UserError: if weights are missing, have another shape or are not finite.
    """
    require_weights(snapshot)
    family = family_of(snapshot.network)
    sizes = {"channels": snapshot.channels, "label_size": snapshot.label_size}
    generator, discriminator, average = (
        network.model(snapshot.resolution, fading=snapshot.fading)
        for network in (
            family.generator(snapshot.network, **sizes),
            family.discriminator(snapshot.network, **sizes),
            family.generator(snapshot.network, name="average", **sizes),
        )
    )
    assign((generator, discriminator, average), snapshot.weights)
    return OfficialModels(generator, discriminator, average)


def require_weights(snapshot: OfficialSnapshot) -> None:
    """Refuse networks that need more weights than the snapshot holds, without allocating them.

    Raises:
        UserError: if weights are missing.
    """
    [(generator, discriminator)] = sizes_of(
        snapshot.network,
        [(snapshot.resolution, snapshot.fading)],
        channels=snapshot.channels,
        label_size=snapshot.label_size,
    )
    for name, size in zip(NETWORKS, (generator, discriminator, generator), strict=True):
        held = sum(v.size for key, v in snapshot.weights.items() if key.startswith(f"{name}_"))
        if size.parameters > held:
            raise UserError(
                "official weights must be as many as their settings ask for: "
                f"{size.parameters} of the {name}. Received: {held}"
            )


def assign(models: Iterable[keras.Model], weights: Weights) -> None:
    """Assign a value to every weight of the models.

    Raises:
        UserError: if a value is missing, has another shape, or is not finite.
    """
    for name, weight in weights_of(*models).items():
        value = weights.get(name)
        if value is None or value.shape != tuple(weight.shape):
            received = "none" if value is None else list(value.shape)
            raise UserError(
                f"the weight {name} must have the shape that the file's settings ask for: "
                f"{list(weight.shape)}. Received: {received}"
            )
        if not np.isfinite(value).all():
            raise UserError(f"official weights must be finite. Received: {name}, which is not")
        weight.assign(value)
