"""One training step: the discriminator's updates, the generator's, and the generator's average."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf

from pipeline.config import Config
from pipeline.schedule import Phase
from pipeline.training.alarms.non_finite import Check, NonFinite, first_non_finite, levels
from pipeline.training.loop.ordering import keep_order
from pipeline.training.optimization.ema import decay_per_step, move_style_means, update_average
from pipeline.training.optimization.gradients import Metrics
from pipeline.training.optimization.lazy_regularization import is_due
from pipeline.training.synthesis.inputs import ReplicaBatches
from pipeline.training.synthesis.phase_models import PhaseModels
from pipeline.training.synthesis.separation import with_separation
from pipeline.training.synthesis.updates import Updates


class Step:
    """The step of a phase.

    A step takes `objective.critic_steps` batches and updates the discriminator on each, then the
    generator `objective.generator_steps` times. The discriminator's update on batch j draws by the
    clock `images_seen + j · batch_size`, and the generator's by the clock of the last batch, so all
    draws are functions of the clock.

    The last update of the discriminator, those of the generator and the average are one compiled
    function. Updates that most runs do not have are functions of their own, traced when they are
    first due: growing stays quick, whatever the objective.

    Args:
        config: Configuration of the run.
        phase: Phase that is trained.
        models: Models of the phase.
        strategy: Strategy under which they were made.
        known: Metrics of the step before, when a phase goes on.
        roll_backs: Number of roll backs so far.
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
        self._updates = Updates(config, phase, models, strategy.num_replicas_in_sync)
        self._batches = ReplicaBatches(config, phase, models, strategy, roll_backs)
        self._images = phase.batch_size * config.objective.critic_steps
        self._metrics: Metrics = dict(known or {})
        self._gradients = {
            "critic_gradients": _weights(models.discriminator),
            "generator_gradients": _weights(models.generator),
        }
        self._checks: list[Check] = []
        self._earlier_checks: list[Check] = []

        def compiled(replica_function: Callable[..., Metrics], *, last: bool = False) -> Any:
            # AutoGraph rewrites the source of all that is called, which takes longer than to trace
            # it, and no `if` or loop of a step goes by a tensor.
            return tf.function(
                self._on_replicas(replica_function, last=last),
                autograph=False,
                jit_compile=config.run.jit_compile,
            )

        self.finish = compiled(self._finish, last=True)
        self._critic = compiled(self._update_critic)
        self._penalties = compiled(self._pay_penalties)
        self._path_length = {
            repeat: compiled(self._path_length_of(repeat))
            for repeat in range(config.objective.generator_steps)
        }

    def __call__(self, batches: Sequence[Any], images_seen: int, alpha: float) -> Metrics:
        """Train on the batches that begin after `images_seen` images.

        Args:
            batches: `objective.critic_steps` of what `dataset_for` yields, distributed.
            images_seen: The clock.
            alpha: Weight of the new resolution, for the whole step.

        Returns:
            float32 scalars, averages over the global batch; of a lazy regulariser that which was
            last paid.
        """
        settings, objective = self._config.objective, self._updates.objective
        weight = tf.constant(alpha, tf.float32)
        self._earlier_checks, self._checks = self._checks, []

        def take(function: Any, batch: Any, clock: Any) -> None:
            values, first = function(batch, clock, weight)
            ended = images_seen + self._images
            self._checks.append(Check(values, self._gradients, first, ended))
            self._metrics |= {name: v for name, v in values.items() if v.shape.rank == 0}

        for number, batch in enumerate(batches):
            seen = images_seen + number * self._phase.batch_size
            clock = tf.constant(seen, tf.int64)
            if objective.lazy_penalties and is_due(
                seen // self._phase.batch_size, settings.penalty_every
            ):
                take(self._penalties, batch, clock)
            if number + 1 < len(batches):
                take(self._critic, batch, clock)
        if objective.lazy_path_length:
            first = images_seen // self._images * settings.generator_steps
            for repeat, path_length in self._path_length.items():
                if is_due(first + repeat, settings.path_length_every):
                    take(path_length, batch, clock)
        take(self.finish, batch, clock)
        return dict(self._metrics)

    def non_finite(self, *, wait: bool) -> NonFinite | None:
        """The first tensor that was not finite in the step before the last.

        Args:
            wait: Whether the last step is looked at too, for which the device has to be waited for.
        """
        checks = [*self._earlier_checks, *(self._checks if wait else ())]
        return next(filter(None, (check.found() for check in checks)), None)

    def _on_replicas(
        self, replica_function: Callable[..., Metrics], *, last: bool
    ) -> Callable[[Any, Any, Any], tuple[Metrics, Any]]:
        """The function run on every replica, its means, and which is the first not to be finite."""
        models, strategy = self._models, self._strategy
        decay = decay_per_step(self._config.optimizer, self._images)

        def function(batch: Any, images_seen: Any, alpha: Any) -> tuple[Metrics, Any]:
            for variable in models.alphas:
                variable.assign(alpha)
            metrics = strategy.run(replica_function, args=(batch, images_seen, alpha))
            if last:
                update_average(strategy, models.average, models.generator, decay)
            means = {
                name: strategy.reduce(tf.distribute.ReduceOp.MEAN, value, axis=None)
                for name, value in metrics.items()
            }
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
        return {"reals": levels(critic_batch.reals)} | self._updates.update_critic(critic_batch)

    def _pay_penalties(self, batch: Any, images_seen: Any, alpha: Any) -> Metrics:
        fakes = any(penalty.needs_fakes for penalty in self._updates.objective.penalties)
        critic_batch = self._batches.for_penalties(batch, images_seen, alpha, fakes=fakes)
        return {"reals": levels(critic_batch.reals)} | self._updates.pay_penalties(critic_batch)

    def _update_generator(self, batch: Any, images_seen: Any, alpha: Any, repeat: int) -> Metrics:
        path_batch = None
        if self._config.objective.path_length and not self._updates.objective.lazy_path_length:
            path_batch = self._batches.for_path_length(batch, images_seen, repeat)
        generator_batch = self._batches.for_generator(batch, images_seen, alpha, repeat)
        return self._updates.update_generator(generator_batch, path_batch)

    def _path_length_of(self, repeat: int) -> Callable[[Any, Any, Any], Metrics]:
        def pay(batch: Any, images_seen: Any, _: Any) -> Metrics:
            path_batch = self._batches.for_path_length(batch, images_seen, repeat)
            return self._updates.pay_path_length(path_batch)

        return pay


def _weights(model: keras.Model) -> list[str]:
    """Names of the trained weights."""
    return [weight.path for weight in model.trainable_variables]
