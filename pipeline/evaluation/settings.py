"""Settings of an evaluation: the configuration of the run, with overrides by `--set`."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.config import Config
from pipeline.errors import UserError
from pipeline.evaluation.features import require_kind
from pipeline.loading import Override, differences
from pipeline.training_run.folder import RunFolder


def settings_for(run: RunFolder, overrides: Sequence[Override]) -> Config:
    """Read the configuration of a run with overrides for its evaluation; needs no TensorFlow.

    Raises:
        UserError: if there is no run, an override is invalid or changes what the run trains, or the
            kind of the features is unknown.
    """
    settings = run.config(overrides)
    # Refuse settings of training: the scores would belong to a run that was trained differently.
    changed = differences(run.config(), settings)
    if changed:
        raise UserError(
            "`--set` must not change settings that decide a run's result. "
            f"Received: {'; '.join(changed)}"
        )
    if settings.evaluation.features is not None:
        require_kind(settings.evaluation.features)
    return settings
