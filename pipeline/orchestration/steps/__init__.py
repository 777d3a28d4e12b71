"""Steps of a pipeline run, from a snapshot to a promoted version, independent of Dagster.

A step writes its result atomically, under a name derived from everything that decides it. If the
result exists, the step does nothing. The argument `former` is the version that the label `stable`
pointed to when the run began, None if to none. docs/pipeline.md says what each step does.
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
