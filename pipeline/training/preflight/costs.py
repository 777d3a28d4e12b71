"""Linear cost model: time and memory of a phase, from its arithmetic and its feature maps.

    seconds of a step = s₀ + s₁ · blocks + s₂ · parameters
                        + images · (s₃ · multiplications + s₄ · values)
    bytes             = b₀ + b₁ · blocks + b₂ · parameters + images at once · b₃ · values

`blocks` are resolutions, `values` are elements of feature maps. The coefficients were fitted on two
CPU cores by tests/benchmarks/bench_cost.py, which also prints the errors of the model. On other
machines, seconds are scaled to a step that was measured there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from pipeline.config import Config, ObjectiveConfig
from pipeline.families.size import sizes_of
from pipeline.objectives.adversarial import LOSSES
from pipeline.objectives.penalties import penalties_of
from pipeline.schedule import Phase
from pipeline.shape import level_shapes, start_shape


@dataclass(frozen=True)
class Coefficients:
    """Coefficients s₀ to s₄ in seconds, and b₀ to b₃ in bytes, for one precision."""

    seconds: tuple[float, float, float, float, float]
    memory: tuple[float, float, float, float]


@dataclass(frozen=True)
class Work:
    """Quantities of a phase in which the cost model is linear."""

    blocks: int  # Number of resolutions in the networks
    parameters: tuple[int, int]  # Numbers of trained weights of the generator and the discriminator
    multiplications: float  # Multiplications in all passes of a step, per image of one batch
    pass_values: float  # Values of feature maps in all passes of a step, per image of one batch
    values: int  # Values of the feature maps of both networks, per image


_HALF = Coefficients((4.1e-5, 1.53e-3, 8.89e-9, 5.15e-12, 5.5e-10), (8.61e8, 1.74e7, 24.1, 13.5))
COEFFICIENTS: Mapping[str, Coefficients] = MappingProxyType(
    {
        "float32": Coefficients(
            (1.04e-3, 0.0, 7.98e-9, 9.81e-12, 5.6e-10), (8.61e8, 1.29e7, 26.0, 24.1)
        ),
        "mixed_bfloat16": _HALF,
        "mixed_float16": _HALF,
    }
)
"""Coefficients by `run.precision`. Float16 has those of bfloat16: there was no machine with fast
float16 to fit its own."""


def passes_of(objective: ObjectiveConfig) -> tuple[float, float]:
    """Compute passes through the generator and the discriminator per step and image of a batch.

    A forward pass counts as 1; its gradients by weights and by inputs count as 1 each.
    """
    # 3 for the forward pass and its gradients, and 3 for the gradient of the gradient.
    penalty = 6 * len(penalties_of(objective)) / objective.penalty_every
    path_length = bool(objective.path_length) * 6 / 2 / objective.path_length_every
    needs_reals = LOSSES[objective.loss].needs_reals
    # 6 for reals and fakes, each a forward pass and both gradients. The generator's forward pass
    # that makes the fakes counts below.
    critic = 6 + penalty + 3 * bool(objective.consistency)
    generator_steps, critic_steps = objective.generator_steps, objective.critic_steps
    return (
        critic_steps + generator_steps * (3 + path_length),
        critic_steps * critic + generator_steps * (2 + needs_reals),
    )


def works_of(config: Config, phases: Sequence[Phase], label_size: int) -> list[Work]:
    """Compute the work of a step in each phase; `label_size` is the number of classes, or 0."""
    sizes = sizes_of(
        config.network,
        [(phase.resolution, phase.fading) for phase in phases],
        channels=config.data.channels,
        label_size=label_size,
        start=start_shape(config.schedule.shape),
    )
    passes = passes_of(config.objective)
    return [
        Work(
            blocks=len(level_shapes(start_shape(phase.shape), phase.resolution)),
            parameters=(generator.parameters, discriminator.parameters),
            multiplications=passes[0] * generator.multiplications
            + passes[1] * discriminator.multiplications,
            pass_values=passes[0] * generator.values + passes[1] * discriminator.values,
            values=generator.values + discriminator.values,
        )
        for phase, (generator, discriminator) in zip(phases, sizes, strict=True)
    ]


def step_seconds(config: Config, phase: Phase, work: Work) -> float:
    """Estimate the seconds of a step on the machine where the coefficients were fitted."""
    fixed, block, parameter, multiplication, value = COEFFICIENTS[config.run.precision].seconds
    image = multiplication * work.multiplications + value * work.pass_values
    updates = fixed + block * work.blocks + parameter * sum(work.parameters)
    return updates + phase.batch_size * image


def memory(config: Config, work: Work, *, at_once: int) -> float:
    """Estimate the bytes of a process whose steps have `at_once` images in the networks."""
    fixed, block, parameter, value = COEFFICIENTS[config.run.precision].memory
    # Data, sampling and exports need more, which is not included.
    weights = fixed + block * work.blocks + parameter * sum(work.parameters)
    return weights + at_once * value * work.values
