"""Write a run's scores for TensorBoard, with the settings behind them as hyperparameters."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import tensorflow as tf
from tensorboard.plugins.hparams import api as hyperparameters

from pipeline.evaluation.scores import Evaluation, needs_features
from pipeline.loading import decisive_settings
from pipeline.training_run.folder import RunFolder
from savedmodels import atomic


def write_events(run: RunFolder, history: Sequence[Evaluation]) -> Path:
    """Rewrite the event file with all evaluations of a run, and return its folder.

    Steps are images seen. A score is named `<feature network>/<name>`, or `pixels/<name>` if it
    uses no features, with `_low` and `_high` for the ends of its interval. The HParams dashboard
    shows the settings that affect the result beside the newest scores.
    """
    folder = run.tensorboard / "evaluations"
    with suppress(FileNotFoundError):
        # Remove the whole folder: a rollback may have removed evaluations that it still shows.
        atomic.remove_folder(folder)
    with atomic.new_folder(folder) as temporary:
        settings = {
            # HParams accepts no other types.
            key: value if isinstance(value, bool | int | float) else str(value)
            for key, value in decisive_settings(run.config()).items()
        }
        writer = tf.summary.create_file_writer(str(temporary))
        with writer.as_default():
            hyperparameters.hparams(settings, trial_id=run.path.resolve().name)
            for evaluation in history:
                network = evaluation.features
                for score in evaluation.scores:
                    group = network.name if network and needs_features(score.name) else "pixels"
                    ends = {"": score.value, "_low": score.low, "_high": score.high}
                    for end, value in ends.items():
                        if value is not None:
                            name = f"{group}/{score.name}{end}"
                            tf.summary.scalar(name, value, step=evaluation.images_seen)
        # Flush the file before `new_folder` moves the folder to its final name.
        writer.close()
    return folder
