"""One compiled training step: a critic update, a generator update and the generator's average."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
import tensorflow as tf

from layers.resample import box_down, nearest_up
from pipeline.config import Config
from pipeline.objectives import wgan_gp
from pipeline.schedule import Phase
from pipeline.training.average import decay_per_step, update_average
from pipeline.training.ordering import keep_order
from pipeline.training.randomness import Purpose, key
from pipeline.training.replicas import share_of

Metrics = dict[str, Any]


@dataclass(frozen=True)
class PhaseModels:
    """What one phase trains: models of one resolution and fresh optimizers."""

    generator: keras.Model
    discriminator: keras.Model
    average: keras.Model
    generator_optimizer: keras.optimizers.Optimizer
    discriminator_optimizer: keras.optimizers.Optimizer
    alphas: tuple[keras.Variable, ...]


def make_step(
    config: Config, phase: Phase, models: PhaseModels, strategy: tf.distribute.Strategy
) -> Callable[[Any, Any, Any], Metrics]:
    """The step of a phase: `(distributed batch, images_seen int64, alpha float32) → metrics`.

    The batch is what `dataset_for` yields: uint8 images and one-hot labels. Metrics are float32
    scalars, averages over the global batch.
    """
    keep_order()
    replicas = strategy.num_replicas_in_sync
    decay = decay_per_step(config.optimizer, phase.batch_size)

    def replica_step(batch: Any, images_seen: Any, alpha: Any) -> Metrics:
        replica = tf.distribute.get_replica_context().replica_id_in_sync_group

        def draw(purpose: Purpose, sampler: Callable[..., Any], *shape: int) -> Any:
            everyone = sampler(
                (phase.batch_size, *shape), key(config.run.seed, purpose, images_seen)
            )
            return share_of(everyone, replica, replicas)

        def generate(purpose: Purpose) -> Any:
            latents = draw(purpose, tf.random.stateless_normal, config.network.latent_size)
            return models.generator([latents, labels] if config.data.labels else latents)

        labels = batch["labels"]
        reals = scaled(batch["images"])
        if phase.fading:
            reals = fade_reals(reals, alpha)
        weights = draw(Purpose.PENALTY_MIX, tf.random.stateless_uniform, 1, 1, 1)

        critic_metrics = update_critic(
            config,
            phase,
            models,
            reals,
            generate(Purpose.CRITIC_LATENTS),
            labels,
            weights,
            replicas,
        )
        generator_metrics = update_generator(
            config, models, lambda: generate(Purpose.GENERATOR_LATENTS), labels, replicas
        )
        return {**critic_metrics, **generator_metrics}

    @tf.function(jit_compile=config.run.jit_compile)
    def step(batch: Any, images_seen: Any, alpha: Any) -> Metrics:
        for variable in models.alphas:
            variable.assign(alpha)
        per_replica_metrics = strategy.run(replica_step, args=(batch, images_seen, alpha))
        update_average(strategy, models.average, models.generator, decay)
        return {
            name: strategy.reduce(tf.distribute.ReduceOp.MEAN, value, axis=None)
            for name, value in per_replica_metrics.items()
        }

    return step


def update_critic(
    config: Config,
    phase: Phase,
    models: PhaseModels,
    reals: Any,
    fakes: Any,
    labels: Any,
    mix_weights: Any,
    replicas: int,
) -> Metrics:
    """One optimizer step of the discriminator on WGAN-GP with drift, and label terms."""
    objective = config.objective
    variables = [weight.value for weight in models.discriminator.trainable_variables]
    scale = 1.0
    if objective.penalty_size == "final":
        scale = phase.resolution / config.schedule.resolution
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(variables)
        real_outputs, fake_outputs = score_apart(
            models.discriminator, reals, fakes, config.network.stddev_group
        )
        critic = wgan_gp.critic_loss(
            scores_of(real_outputs), scores_of(fake_outputs), drift=objective.drift
        )
        penalty = wgan_gp.gradient_penalty(
            lambda images: scores_of(models.discriminator(images)),
            wgan_gp.mix(reals, fakes, mix_weights),
            scale=scale,
        )
        losses = critic + objective.gradient_penalty * penalty
        if config.data.labels:
            label = wgan_gp.label_loss(labels, real_outputs[1])
            label += wgan_gp.label_loss(labels, fake_outputs[1])
            losses += objective.label_weight * label
        loss = tf.reduce_mean(losses) / replicas
    gradients = tape.gradient(loss, variables)
    models.discriminator_optimizer.apply(gradients, models.discriminator.trainable_variables)
    return {
        "critic_loss": tf.reduce_mean(losses),
        "real_score": tf.reduce_mean(scores_of(real_outputs)),
        "fake_score": tf.reduce_mean(scores_of(fake_outputs)),
        "penalty": tf.reduce_mean(penalty),
        "critic_gradient_norm": tf.linalg.global_norm(gradients) * replicas,
    }


def update_generator(
    config: Config,
    models: PhaseModels,
    generate: Callable[[], Any],
    labels: Any,
    replicas: int,
) -> Metrics:
    """One optimizer step of the generator; takes no gradient of the discriminator's weights."""
    variables = [weight.value for weight in models.generator.trainable_variables]
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(variables)
        images = generate()
        parts = [(images, labels)]
        if config.run.intra_op_threads == 1:
            # Nothing else is left to do beside this pass: each half occupies a thread.
            group_size = config.network.stddev_group
            parts = list(zip(halves(images, group_size), halves(labels, group_size), strict=True))
        losses = tf.concat([generator_losses(config, models, *part) for part in parts], axis=0)
        loss = tf.reduce_mean(losses) / replicas
    gradients = tape.gradient(loss, variables)
    models.generator_optimizer.apply(gradients, models.generator.trainable_variables)
    return {
        "generator_loss": tf.reduce_mean(losses),
        "generator_gradient_norm": tf.linalg.global_norm(gradients) * replicas,
    }


def generator_losses(config: Config, models: PhaseModels, images: Any, labels: Any) -> Any:
    """What the generator minimises, for each of its images `(batch,)`."""
    outputs = models.discriminator(images)
    losses = wgan_gp.generator_loss(scores_of(outputs))
    if config.data.labels:
        losses += config.objective.label_weight * wgan_gp.label_loss(labels, outputs[1])
    return losses


def scaled(images: Any) -> Any:
    """uint8 0 … 255 → float32 -1 … 1, same shape."""
    return tf.cast(images, tf.float32) / 127.5 - 1.0


def fade_reals(images: Any, alpha: Any) -> Any:
    """Real images as coarse as the faded-in network's: blended with their half-size selves."""
    coarse = nearest_up(box_down(images, 2), 2)
    return coarse + (images - coarse) * alpha


def scores_of(outputs: Any) -> Any:
    """The critic scores `(batch, 1)` among a discriminator's outputs."""
    return outputs[0] if isinstance(outputs, list | tuple) else outputs


def score_apart(
    discriminator: keras.Model, reals: Any, fakes: Any, group_size: int
) -> tuple[Any, Any]:
    """The outputs for reals and for fakes, computed in one pass of both.

    The pass is interleaved so that no group of the minibatch standard deviation, whose members are
    strided through the batch, holds both kinds: the result is that of two passes.
    """
    batch = reals.shape[0]
    if batch < group_size:  # One group each: in one pass they would make up one group of both.
        return discriminator(reals), discriminator(fakes)
    shape = (group_size, batch // group_size)
    images = [tf.reshape(kind, (*shape, *kind.shape[1:])) for kind in (reals, fakes)]
    both = discriminator(tf.reshape(tf.concat(images, axis=1), (2 * batch, *reals.shape[1:])))
    if not isinstance(both, list | tuple):
        return halves(both, group_size)
    first, second = zip(*(halves(output, group_size) for output in both), strict=True)
    return first, second


def halves(samples: Any, group_size: int) -> tuple[Any, ...]:
    """Two halves of a batch, each of whole groups of the minibatch standard deviation.

    A group's members are strided through the batch. An odd number of groups stays in one part.
    """
    batch, *features = samples.shape
    groups, rest = divmod(batch, group_size)
    if rest or groups % 2:
        return (samples,)
    parts = tf.split(tf.reshape(samples, (group_size, groups, *features)), 2, axis=1)
    return tuple(tf.reshape(part, (batch // 2, *features)) for part in parts)
