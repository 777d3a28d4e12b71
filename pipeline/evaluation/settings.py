"""Settings of an evaluation: those of the run, with overrides that change no result of the run."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.config import Config
from pipeline.errors import UserError
from pipeline.evaluation.features import require_kind
from pipeline.loading import Override, differences
from pipeline.training_run.folder import RunFolder


def settings_for(run: RunFolder, overrides: Sequence[Override]) -> Config:
    """Read the configuration of a run, with overrides for its evaluation; needs no TensorFlow.

    Raises:
        UserError: if there is no run, an override is invalid or changes what the run trains, or the
            features are of no known kind.
    """
    settings = run.config(overrides)
    # Scores would otherwise be filed under a run that was trained differently.
    changed = differences(run.config(), settings)
    if changed:
        raise UserError(
            "`--set` must not change settings that decide a run's result. "
            f"Received: {'; '.join(changed)}"
        )
    if settings.evaluation.features is not None:
        require_kind(settings.evaluation.features)
    return settings
