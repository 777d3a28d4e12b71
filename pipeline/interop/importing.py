"""Import of published weights as a run, for `growgan import`; docs/import.md is its guide."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import tensorflow as tf

from pipeline.config import Config
from pipeline.errors import UserError
from pipeline.families.official.snapshot import OfficialSnapshot
from pipeline.interop.official import assign, read_snapshot, require_weights
from pipeline.loading import load
from pipeline.schedule import Schedule
from pipeline.training.loop import checkpoints
from pipeline.training.position import Position
from pipeline.training.synthesis.state import TrainingState
from pipeline.training_run.folder import RunFolder
from savedmodels import atomic
from savedmodels.checksum import checksum


def import_weights(
    file: Path,
    out: Path,
    *,
    config: str | None = None,
    overrides: Sequence[str] = (),
    data: str | None = None,
) -> RunFolder:
    """Make a run from a file of published weights; executes no code in the file.

    The run is complete or, after an error, not there at all.

    Args:
        file: File of published weights, as for `load_official`.
        out: Folder of the run, which must not exist.
        config: Preset or YAML file for further training, None for the family's preset. The file of
            weights overrides the values that it determines.
        overrides: Overrides of the configuration, `section.key=value`.
        data: Data source that replaces `data.source`.

    Raises:
        UserError: as `load_official`; if the configuration contradicts the weights or has no phase
            for them; or if `out` exists or cannot be written.
    """
    if out.exists():
        raise UserError(f"`--out` must be a new folder. Received: {out}, which exists")
    snapshot = read_snapshot(file)
    settings = config_of(snapshot, config or snapshot.network.official_preset, overrides, data=data)
    position = position_of(snapshot, settings.schedule.build())
    # Check before allocating networks: settings in the file may ask for any size.
    require_weights(snapshot)
    # Save an ordinary checkpoint, so that training, export and evaluation need no special case.
    state = TrainingState(
        settings, label_size=snapshot.label_size, strategy=tf.distribute.get_strategy()
    )
    models = state.models_for(settings.schedule.build().phases[position.phase])
    assign((models.generator, models.discriminator, models.average), snapshot.weights)
    try:
        with atomic.new_folder(out) as folder:
            checkpoints.save(folder, models.variables, position, metrics={})
            RunFolder(folder).start_imported(
                settings,
                [str(number) for number in range(snapshot.label_size)],
                {"file": file.name, "sha256": checksum(file)},
            )
    except OSError as error:
        raise UserError(f"`--out` must be writable. Received: {error}") from error
    return RunFolder(out)


def config_of(
    snapshot: OfficialSnapshot, name: str, overrides: Sequence[str] = (), *, data: str | None = None
) -> Config:
    """Load a preset or YAML file, with the values that the published weights determine.

    Raises:
        UserError: if overrides contradict the weights, or the configuration is wrong.
    """
    network = snapshot.network.model_dump(exclude=set(snapshot.not_shown))
    determined = {f"network.{key}": value for key, value in network.items()} | {
        "data.channels": snapshot.channels,
        "data.labels": bool(snapshot.label_size),
        "schedule.resolution": snapshot.final,
    }
    # Start at the final resolution if the family does not grow: presets may start lower.
    start = {} if snapshot.network.grows else {"schedule.start_resolution": snapshot.final}
    # Put the user's overrides last, so that the check below sees those that contradict the weights.
    config = load(name, [*(determined | start).items(), *overrides], data=data)
    for key, value in determined.items():
        section, _, field = key.partition(".")
        chosen = getattr(getattr(config, section), field)
        if chosen != value:
            raise UserError(
                f"`{key}` must be as in the file of weights, {value}. Received: {chosen}"
            )
    return config


def position_of(snapshot: OfficialSnapshot, schedule: Schedule) -> Position:
    """Find the point of a schedule that the weights had reached: start of a hold, or in a fade.

    Raises:
        UserError: if no phase has the weights' resolution and fade.
    """
    for index, phase in enumerate(schedule.phases):
        if (phase.resolution, phase.fading) == (snapshot.resolution, snapshot.fading):
            seen = schedule.starts[index]
            if phase.fading:
                # Stay off both ends, where the schedule is in the phase before or after.
                share = float(snapshot.weights["generator_fade/alpha"])
                seen += min(max(round(share * phase.images), 1), phase.images - 1)
            if schedule.at(seen).index == index:
                return Position(seen, index)
    doing = "fades in" if snapshot.fading else "holds"
    raise UserError(
        f"`schedule` must have a phase that {doing} {snapshot.resolution} px, where the weights "
        "come from. Received: none"
    )
