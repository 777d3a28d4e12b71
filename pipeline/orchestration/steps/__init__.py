"""The steps from a snapshot to a promoted version, each done once for what it is made of.

No step knows of a scheduler. What a step makes is a file or folder that appears whole or not at
all, under a name that follows from all that decides it; a step that finds it gives what is there.
"""

from pipeline.orchestration.steps.data import checked_data, records, source_snapshot
from pipeline.orchestration.steps.judging import evaluation, gate
from pipeline.orchestration.steps.publishing import published_version, savedmodel, smoke_test
from pipeline.orchestration.steps.step import Check, Done
from pipeline.orchestration.steps.training import stage, trained_model

__all__ = [
    "Check",
    "Done",
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
