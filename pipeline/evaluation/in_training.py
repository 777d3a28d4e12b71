"""FID while a run trains: of few images, and cheap enough to wait for."""

from __future__ import annotations

from pipeline.config import Config
from pipeline.data.dataset import labels_of
from pipeline.data.records import RecordSet
from pipeline.evaluation.extraction import extract
from pipeline.evaluation.fakes import Fakes, labels_like
from pipeline.evaluation.features import open_features
from pipeline.evaluation.references import REFERENCES, references_for
from pipeline.evaluation.statistics.frechet import frechet_distance, moments
from pipeline.training.phase_models import PhaseModels


class FidInTraining:
    """FID of the average of the moment to all training images of its size; lower is better.

    It is of `evaluation.fid_images` images, always of the same seeds and labels. The fewer images,
    the higher it is: it compares with itself alone.

    Args:
        config: With `evaluation.features`.
        records: What the run is trained on.

    Raises:
        UserError: if features cannot be had.
    """

    names = ("fid",)

    def __init__(self, config: Config, records: RecordSet) -> None:
        settings = config.evaluation
        assert settings.features is not None
        self._records = records
        self._count = settings.fid_images
        self._network = open_features(settings.features)
        self._labels = None
        if config.data.labels:
            self._labels = labels_like(labels_of(records), self._count, seed=settings.seed)

    def __call__(self, models: PhaseModels, resolution: int) -> dict[str, float]:
        """`{"fid": …}` of images of this many pixels."""
        kept = self._records.folder.parent / REFERENCES
        reals = references_for(self._records, resolution, self._network, kept)
        fakes = Fakes(models.average, self._count, self._labels)
        found = extract(self._network, fakes.batches())
        distance = frechet_distance(moments([found.vectors]), moments([reals.features.vectors]))
        return {"fid": distance}
