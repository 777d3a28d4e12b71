"""Section `run` of the configuration: precision, devices, logging and checkpoints."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from pipeline.section import Count, Rate, Section


class RunConfig(Section):
    """Execution of a run; only `seed`, `precision` and `jit_compile` affect its result."""

    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0  # An int32: it is half of each random key.
    """Seed of all randomness."""
    precision: Literal["float32", "mixed_bfloat16", "mixed_float16"] = "float32"
    """Compute dtype; weights and statistics are always float32. `mixed_float16`, for GPUs without
    bfloat16, uses dynamic loss scaling."""
    micro_batch: Count | None = None
    """Maximum number of images that a replica sends through the networks at once, at least
    `network.stddev_group`; None for its whole share of the batch. Fewer need
    less memory; only rounding changes."""
    strategy: Literal["one_device", "mirrored", "multi_worker", "tpu"] = "one_device"
    """The `tf.distribute` strategy: `one_device`; `mirrored`, all GPUs of this machine or its CPU;
    `multi_worker`, processes from TF_CONFIG or Slurm, as `growgan train --workers` starts them; or
    `tpu`."""
    replicas: Count | None = None
    """Number of devices for `mirrored`, None for all. Without a GPU the CPU is divided into this
    many devices: no faster, but enough to test a run, or to resume one from another machine."""
    tpu: str | None = None
    """Name or address of the TPU (`grpc://host:8470`, or `local`); None reads $TPU_NAME."""
    intra_op_threads: Count | None = None
    """Threads within one operation, None for one per core. On few cores 1 is fastest: independent
    operations run in parallel, and the generator's step is split into two independent halves."""
    jit_compile: bool = False
    """Compile steps with XLA. It is slower on CPUs, and impossible with several devices,
    which exchange gradients within a step."""
    memory_gib: Rate | None = None
    """Memory for training in GiB, None for all that is free; runs that need more do not start."""
    log_images: Count = 1_000
    """Images between log entries, in `metrics.jsonl` and TensorBoard."""
    sample_images: Count = 10_000
    """Images between sample grids."""
    checkpoint_images: Count = 10_000
    """Images between checkpoints."""
    keep_checkpoints: Count = 2
    """Number of newest checkpoints to keep."""
    keep_every_images: Count | None = None
    """Interval in images: the first checkpoint at or after each multiple stays; None for none."""
    keep_best: str | None = None
    """Metric by which the best checkpoint is kept as well, such as `critic_loss`; None for none."""
    keep_best_mode: Literal["min", "max"] = "min"
    """Direction of the best value: the smallest or the largest."""

    @model_validator(mode="after")
    def _check_strategy_keys(self) -> RunConfig:
        for name, strategy in (("replicas", "mirrored"), ("tpu", "tpu")):
            value = getattr(self, name)
            # Refuse a key of another strategy, which would silently have no effect.
            if value is not None and self.strategy != strategy:
                raise ValueError(
                    f"`run.{name}` needs `run.strategy={strategy}`. "
                    f"Received: {value} and {self.strategy}"
                )
        if self.jit_compile and self.strategy in ("mirrored", "multi_worker"):
            raise ValueError(
                "`run.jit_compile` needs `run.strategy=one_device`, or a TPU, where it changes "
                f"nothing. Received: {self.strategy}"
            )
        return self
