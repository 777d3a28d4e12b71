"""Section `run`: precision, devices, logging and checkpoints."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from pipeline.section import Count, Rate, Section


class RunConfig(Section):
    """Execution of a run; of these keys only `seed` and `precision` change its result."""

    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    """From which all randomness follows."""
    precision: Literal["float32", "mixed_bfloat16", "mixed_float16"] = "float32"
    """Compute dtype; weights and statistics are float32 in all. `mixed_float16`, for GPUs without
    bfloat16, scales the losses by factors that it adjusts."""
    micro_batch: Count | None = None
    """Most images of a replica that go through the networks at once, None for all of its share:
    less memory, for the same result up to rounding. At least `network.stddev_group`."""
    strategy: Literal["one_device", "mirrored", "multi_worker", "tpu"] = "one_device"
    """The `tf.distribute` strategy: one device; several local ones of a kind; several processes
    with a device or more each, named by TF_CONFIG or Slurm, as `growgan train --workers` starts
    them; or a TPU."""
    replicas: Count | None = None
    """Devices of `mirrored`, None for all there are. Without a GPU the CPU is divided into so many,
    which is no faster: it serves to try a run out, and to go on with one from another machine."""
    tpu: str | None = None
    """Name or address (`grpc://host:8470`, or `local`) of the TPU of `tpu`, None for that which the
    environment's TPU_NAME gives."""
    intra_op_threads: Count | None = None
    """Threads within one operation, None for one a core. On few cores 1 is fastest: operations that
    do not depend on each other run side by side, and the generator's step is made two such."""
    jit_compile: bool = False
    """Compile steps by XLA: slower on CPU, and impossible with several devices, which exchange
    gradients within a step."""
    memory_gib: Rate | None = None
    """Memory that training may take, None for what is free: in more a run is refused before it
    starts."""
    log_images: Count = 1_000
    """Images between two entries in the log, `metrics.jsonl` and TensorBoard."""
    sample_images: Count = 10_000
    """Images between two grids of samples."""
    checkpoint_images: Count = 10_000
    """Images between two checkpoints."""
    keep_checkpoints: Count = 2
    """Newest checkpoints that are kept."""
    keep_every_images: Count | None = None
    """Images of which the first checkpoint after each multiple is kept for ever, None for none."""
    keep_best: str | None = None
    """Metric by which the best checkpoint is kept as well, such as `critic_loss`, None for none."""
    keep_best_mode: Literal["min", "max"] = "min"
    """Whether the best is the least or the greatest."""

    @model_validator(mode="after")
    def _devices_are_the_strategys(self) -> RunConfig:
        for name, strategy in (("replicas", "mirrored"), ("tpu", "tpu")):
            value = getattr(self, name)
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
