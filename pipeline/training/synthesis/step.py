"""Compiled training step of synthesis: updates of the discriminator, the generator, the EMA."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import tensorflow as tf

from pipeline.config import Config
from pipeline.schedule import Phase
from pipeline.training.alarms.non_finite import Check, NonFinite, first_non_finite, image_means
from pipeline.training.loop.ordering import keep_order
from pipeline.training.optimization.ema import decay_per_step, move_style_means, update_average
from pipeline.training.optimization.gradients import Metrics
from pipeline.training.optimization.lazy_regularization import is_due
from pipeline.training.synthesis.inputs import LAZY, ReplicaBatches
from pipeline.training.synthesis.phase_models import PhaseModels
from pipeline.training.synthesis.separation import with_separation
from pipeline.training.synthesis.updates import DiscriminatorUpdates, GeneratorUpdates


class SynthesisStep:
    """Training step of one phase, as the protocol `Step` of the training loop.

    A step takes `objective.critic_steps` batches, updates the discriminator on each, and then the
    generator `objective.generator_steps` times. Random draws for batch j depend on `images_seen + j
    · batch_size`; draws for the generator depend on this value for the last batch.
    """

    def __init__(
        self,
        config: Config,
        phase: Phase,
        models: PhaseModels,
        strategy: tf.distribute.Strategy,
        known: Mapping[str, float] | None = None,
        roll_backs: int = 0,
    ) -> None:
        keep_order()
        self._config = config
        self._phase = phase
        self._models = models
        self._strategy = strategy
        replicas = strategy.num_replicas_in_sync
        self._discriminator = DiscriminatorUpdates(config, phase, models, replicas)
        self._generator = GeneratorUpdates(config, models, replicas)
        self._batches = ReplicaBatches(config, phase, models, strategy, roll_backs)
        self._images = phase.batch_size * config.objective.critic_steps
        # Start from known values of lazy regularisers: a resumed run then logs the same metrics.
        self._metrics: Metrics = dict(known or {})
        self._gradients = {
            "critic_gradients": [each.path for each in models.discriminator.trainable_variables],
            "generator_gradients": [each.path for each in models.generator.trainable_variables],
        }
        self._checks: list[Check] = []
        self._earlier_checks: list[Check] = []

        def compiled(replica_function: Callable[..., Metrics], *, last: bool = False) -> Any:
            # Switch AutoGraph off: it would rewrite the source of all called functions, which takes
            # longer than tracing. A step has no `if` or loop that depends on a tensor.
            return tf.function(
                self._on_replicas(replica_function, last=last),
                autograph=False,
                jit_compile=config.run.jit_compile,
            )

        # `finish` has the step's last update of the discriminator, all of the generator, and the
        # EMA. Other updates, which few runs have, are functions of their own: each is traced when
        # first due, so that a new phase starts quickly.
        self.finish = compiled(self._finish, last=True)
        self._critic = compiled(self._update_critic)
        self._penalties = compiled(self._apply_penalties)
        # One function for each repeat: its number is part of the seeds of its draws.
        self._path_length = {
            repeat: compiled(self._path_length_of(repeat))
            for repeat in range(config.objective.generator_steps)
        }

    def __call__(self, batches: Sequence[Any], images_seen: int, alpha: float) -> Metrics:
        """Train on the batches that begin after `images_seen` images.

        Returns:
            Metrics, float32 scalars averaged over the global batch; lazy regularisers have the
            value from when they were last applied.
        """
        settings = self._config.objective
        # Pass tensors, not numbers: TensorFlow would trace the function again for each number.
        weight = tf.constant(alpha, tf.float32)
        # Keep the previous step's checks: the device has finished them, so reading does not wait.
        self._earlier_checks, self._checks = self._checks, []

        def run(function: Any, batch: Any, clock: Any) -> None:
            values, first = function(batch, clock, weight)
            ended = images_seen + self._images
            self._checks.append(Check(values, self._gradients, first, ended))
            # Leave out vectors, which are for the check only. Earlier metrics of lazy regularisers
            # stay until new ones replace them.
            self._metrics |= {name: v for name, v in values.items() if v.shape.rank == 0}

        for number, batch in enumerate(batches):
            seen = images_seen + number * self._phase.batch_size
            clock = tf.constant(seen, tf.int64)
            if self._discriminator.lazy and is_due(
                seen // self._phase.batch_size, settings.penalty_every
            ):
                run(self._penalties, batch, clock)
            if number + 1 < len(batches):
                run(self._critic, batch, clock)
        if self._generator.lazy:
            # Number updates by images seen, so that a resumed run has the same updates.
            first = images_seen // self._images * settings.generator_steps
            for repeat, path_length in self._path_length.items():
                if is_due(first + repeat, settings.path_length_every):
                    run(path_length, batch, clock)
        run(self.finish, batch, clock)
        return dict(self._metrics)

    def non_finite(self, *, wait: bool) -> NonFinite | None:
        """Find the first non-finite tensor; without `wait`, in the step before the last only."""
        checks = [*self._earlier_checks, *(self._checks if wait else ())]
        return next(filter(None, (check.found() for check in checks)), None)

    def _on_replicas(
        self, replica_function: Callable[..., Metrics], *, last: bool
    ) -> Callable[[Any, Any, Any], tuple[Metrics, Any]]:
        """Wrap a replica's function: run it on all, average metrics, find the first non-finite."""
        models, strategy = self._models, self._strategy
        decay = decay_per_step(self._config.optimizer, self._images)

        def function(batch: Any, images_seen: Any, alpha: Any) -> tuple[Metrics, Any]:
            # Assign alpha to variables: a new value then needs no new trace.
            for variable in models.alphas:
                variable.assign(alpha)
            metrics = strategy.run(replica_function, args=(batch, images_seen, alpha))
            if last:
                update_average(strategy, models.average, models.generator, decay)
            means = {
                name: strategy.reduce(tf.distribute.ReduceOp.MEAN, value, axis=None)
                for name, value in metrics.items()
            }
            # Move style means once a step, by the mean over the generator's last batch.
            if last and models.style_means:
                move_style_means(models.style_means, means["mean_style"])
            if models.augmentation.steered:
                if "real_sign" in means:
                    models.augmentation.count(means["real_sign"], self._phase.batch_size)
                if last:
                    models.augmentation.adjust(images_seen // self._images)
                    means["augmentation_probability"] = models.augmentation.probability
            means = with_separation(means)
            return means, first_non_finite(means)

        return function

    def _finish(self, batch: Any, images_seen: Any, alpha: Any) -> Metrics:
        metrics = self._update_critic(batch, images_seen, alpha)
        for repeat in range(self._config.objective.generator_steps):
            metrics |= self._update_generator(batch, images_seen, alpha, repeat)
        return metrics

    def _update_critic(self, batch: Any, images_seen: Any, alpha: Any) -> Metrics:
        critic_batch = self._batches.for_critic(batch, images_seen, alpha)
        return {"reals": image_means(critic_batch.reals)} | self._discriminator.update(critic_batch)

    def _apply_penalties(self, batch: Any, images_seen: Any, alpha: Any) -> Metrics:
        fakes = any(penalty.needs_fakes for penalty in self._discriminator.penalties)
        critic_batch = self._batches.for_critic(batch, images_seen, alpha, LAZY, fakes=fakes)
        reals = {"reals": image_means(critic_batch.reals)}
        return reals | self._discriminator.apply_penalties(critic_batch)

    def _update_generator(self, batch: Any, images_seen: Any, alpha: Any, repeat: int) -> Metrics:
        path_batch = None
        if self._config.objective.path_length and not self._generator.lazy:
            path_batch = self._batches.for_path_length(batch, images_seen, repeat)
        generator_batch = self._batches.for_generator(batch, images_seen, alpha, repeat)
        return self._generator.update(generator_batch, path_batch)

    def _path_length_of(self, repeat: int) -> Callable[[Any, Any, Any], Metrics]:
        def apply(batch: Any, images_seen: Any, _: Any) -> Metrics:
            path_batch = self._batches.for_path_length(batch, images_seen, repeat)
            return self._generator.apply_path_length(path_batch)

        return apply
