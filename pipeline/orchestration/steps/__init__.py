"""Steps from a snapshot to a promoted version; none knows a scheduler.

A step makes a file or folder that appears whole or not at all, under a name that follows from all
that decides it. If it is there, the step makes nothing. `former` is the version that `stable`
served when the run began, None if it served nothing.
"""

from pipeline.orchestration.steps.data import checked_data, records, source_snapshot
from pipeline.orchestration.steps.judging import evaluation, gate
from pipeline.orchestration.steps.publishing import published_version, savedmodel, smoke_test
from pipeline.orchestration.steps.step import Done, StepCheck
from pipeline.orchestration.steps.training import stage, trained_model

__all__ = [
    "Done",
    "StepCheck",
    "checked_data",
    "evaluation",
    "gate",
    "published_version",
    "records",
    "savedmodel",
    "smoke_test",
    "source_snapshot",
    "stage",
    "trained_model",
]
