"""Networks of a run, restored from a checkpoint for sampling, evaluation and export."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import keras

from pipeline.families.family import family_of
from pipeline.sampling.sampler import AnySampler, sampler_of
from pipeline.schedule import Phase
from pipeline.shape import start_shape
from pipeline.training.loop.checkpoints import Checkpoint
from pipeline.training.synthesis.phase_models import weights_of
from pipeline.training_run.folder import RunFolder
from savedmodels.exportable import Exportable


class Restored(NamedTuple):
    """Network object of a family, its Keras model with a checkpoint's weights, and the phase."""

    network: Any
    model: keras.Model
    phase: Phase


@dataclass(frozen=True)
class SavedNetworks:
    """Networks of a run with the weights of a checkpoint; each call makes new models."""

    run: RunFolder
    checkpoint: Checkpoint

    def generator(self) -> keras.Model:
        """Restore the generator as trained, without EMA; call it like `average`."""
        return self._restored("generator", "generator").model

    def average(self) -> keras.Model:
        """Restore the EMA of the generator.

        Call: latents `(batch, latent_size)`, with labels `[latents, (batch, classes)]`, →
        float32 images at the resolution of the checkpoint's phase.
        """
        return self._restored("generator", "average").model

    def discriminator(self) -> keras.Model:
        """Restore the discriminator.

        Call: images `(batch, height, width, channels)` at the resolution of the checkpoint's phase,
        in StyleGANs with labels `[images, labels]`, → `{"scores": (batch, 1)}`; ProGAN with labels
        also returns `"logits": (batch, classes)`.
        """
        return self._restored("discriminator", "discriminator").model

    def sampler(self) -> AnySampler:
        """Make a sampler, which draws images from seeds, for the generator's EMA."""
        network, model, phase = self._restored("generator", "average")
        return sampler_of(network, model, phase.resolution, fading=phase.fading)

    def exportable(self, *, discriminator: bool = False) -> Exportable:
        """Return the networks to export: the generator's EMA, and the discriminator on request."""
        return Exportable(
            self.sampler(), discriminator=self.discriminator() if discriminator else None
        )

    def _restored(self, network: Literal["generator", "discriminator"], name: str) -> Restored:
        config = self.run.config()
        phase = config.schedule.build().phases[self.checkpoint.position.phase]
        family = family_of(config.network)
        make = family.generator if network == "generator" else family.discriminator
        made = make(
            config.network,
            channels=config.data.channels,
            label_size=len(self.run.classes()),
            start=start_shape(config.schedule.shape),
            # A checkpoint has weights by the names of layers, which begin with this name.
            name=name,
        )
        model = made.model(phase.resolution, fading=phase.fading)
        self.checkpoint.restore({name: weight.value for name, weight in weights_of(model).items()})
        return Restored(made, model, phase)
