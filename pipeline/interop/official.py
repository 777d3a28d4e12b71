"""Official weights as Keras models."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import keras

from pipeline.errors import UserError
from pipeline.families.family import family_of
from pipeline.interop import progan, stylegan, stylegan2
from pipeline.interop.pickles import read_networks
from pipeline.interop.snapshot import Snapshot, assign, require_weights
from pipeline.interop.state_dicts import read_arrays
from pipeline.pickles import shown

DUMPS = (".npz", ".safetensors")
"""Endings of files that hold the state of PyTorch networks; all others are pickles."""

PYTORCH = (".pth", ".pt")
"""Endings of pickles that PyTorch writes."""


@dataclass(frozen=True)
class OfficialModels:
    """Networks with published weights, at the resolution and fade that they had come to.

    Call of `generator` and `average`: latents `(batch, latent_size)`, with labels
    `[latents, (batch, classes)]`, → images `(batch, side, side, channels)`, float32, about [-1, 1],
    not clipped, without truncation and with the noise of the file.

    Call of `discriminator`: images → scores `(batch, 1)`; labelled, ProGAN's is
    images → `[scores, (batch, classes) logits]`, and those with styles are
    `[images, labels]` → scores.

    Args:
        generator: As trained.
        discriminator: As trained.
        average: The moving average of the generator, which makes the better images.
    """

    generator: keras.Model
    discriminator: keras.Model
    average: keras.Model


def load_official(path: Path | str) -> OfficialModels:
    """The networks in a file of published weights; nothing in the file is executed.

    Raises:
        UserError: if it cannot be read, holds anything else, or holds networks that none of ours
            is equal to.

    Example:
        >>> models = load_official("karras2018iclr-celebahq-1024x1024.pkl")
        >>> models.average(keras.random.normal((1, 512))).shape
        TensorShape([1, 1024, 1024, 3])
    """
    return models_of(read_snapshot(Path(path)))


def read_snapshot(path: Path) -> Snapshot:
    """What a file holds, in our terms.

    Raises:
        UserError: as `load_official`.
    """
    if path.suffix in PYTORCH:
        raise UserError(
            "weights of PyTorch must come as .npz or .safetensors; and no network of ours is the "
            "PGAN of pytorch_GAN_zoo, which has a bias for each of the first 16 pixels, and an "
            "unbiased minibatch deviation that samples of other groups get. "
            f"Received: {path}"
        )
    if path.suffix in DUMPS:
        return stylegan2.snapshot_of(read_arrays(path))
    networks = read_networks(path)
    functions = tuple(each.function.rpartition(".")[2] for each in networks)
    for family in (progan, stylegan):
        if functions == family.FUNCTIONS:
            return family.snapshot_of(networks)
    raise UserError(
        "official networks must be those of ProGAN or StyleGAN. "
        f"Received: {', '.join(map(shown, functions))}"
    )


def models_of(snapshot: Snapshot) -> OfficialModels:
    """The models, with their weights.

    Raises:
        UserError: if weights are missing or do not fit.
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
