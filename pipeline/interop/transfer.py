"""Transfer learning, for `growgan train --from`: a run starts from the weights of another run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pipeline.config import Config
from pipeline.errors import UserError
from pipeline.shape import shape_text
from pipeline.training.loop import checkpoints
from pipeline.training.position import Position
from pipeline.training_run.folder import RunFolder


def origin_of(source: RunFolder, config: Config) -> dict[str, Any]:
    """Describe where a new run's first weights come from: the source run's newest checkpoint.

    Raises:
        UserError: if the source has no checkpoint, or not the new run's first resolution.
    """
    checkpoint = source.newest_checkpoint()
    phase = source.config().schedule.build().phases[checkpoint.position.phase]
    first = config.schedule.build().phases[0]
    if first.shape != phase.shape:
        raise UserError(
            "`schedule.start_resolution` must be that of the weights of `--from`, "
            f"{shape_text(phase.shape)}. Received: {shape_text(first.shape)}"
        )
    imported = source.manifest().get("imported")
    return {
        "run": str(source.path.resolve()),
        "images_seen": checkpoint.position.images_seen,
        **({"imported": imported} if imported else {}),
    }


def write_first_checkpoint(run: RunFolder, label_size: int) -> None:
    """Copy the source's weights into a first checkpoint, if the run has a source and no checkpoint.

    `images_seen` starts at 0, and optimizers start fresh. If the number of classes differs, weights
    whose shapes depend on it keep their random initial values, and the lineage lists them.

    Raises:
        UserError: if the networks have other sizes, or the source is gone or damaged.
    """
    # Imported here: TensorFlow takes seconds to start, and `origin_of` does not need it.
    import tensorflow as tf

    from pipeline.training.synthesis.phase_models import weights_of
    from pipeline.training.synthesis.state import TrainingState
    from pipeline.training_run.networks import SavedNetworks

    origin = run.manifest().get("first_weights")
    # A resumed run has checkpoints of its own.
    if origin is None or checkpoints.all_in(run.path):
        return
    source = RunFolder(Path(origin["run"]))
    saved = SavedNetworks(source, source.checkpoint(origin["images_seen"]))
    sources = (saved.generator(), saved.discriminator(), saved.average())
    copied = {name: weight.numpy() for name, weight in weights_of(*sources).items()}
    config = run.config()
    state = TrainingState(config, label_size=label_size, strategy=tf.distribute.get_strategy())
    models = state.models_for(config.schedule.build().phases[0])
    made_anew = []
    weights = weights_of(models.generator, models.discriminator, models.average)
    for name, weight in weights.items():
        if name in copied and copied[name].shape == tuple(weight.shape):
            weight.assign(copied[name])
        else:
            made_anew.append(name)
    if made_anew and len(source.classes()) == label_size:
        raise UserError(
            "`--from` needs networks of the same family and sizes. Received: another shape of "
            f"{made_anew[0]}"
        )
    checkpoints.save(run.path, models.variables, Position(0, 0), metrics={})
    run.add_to_manifest(first_weights={**origin, "made_anew": made_anew})
