"""FID of few images while a run trains."""

from __future__ import annotations

from collections.abc import Callable

from pipeline.config import Config
from pipeline.data.dataset import labels_of
from pipeline.data.records import RecordSet
from pipeline.evaluation.extraction import extract
from pipeline.evaluation.features import open_features
from pipeline.evaluation.generated import GeneratedImages, labels_like
from pipeline.evaluation.references import REFERENCES, references_for
from pipeline.evaluation.statistics.frechet import advice, fid_of, moments
from pipeline.sampling.painter import Painter
from pipeline.training.loop.task import PhaseTask


class FidInTraining:
    """FID of the present EMA generator to all training images of its size; lower is better.

    It uses `evaluation.fid_images` images, always of the same seeds and labels. Fewer images give a
    higher FID, so values compare only with each other.

    Args:
        config: Configuration with `evaluation.features`.
        records: Images that the run is trained on.
        advise: Called once with a warning about the values, if there is one.

    Raises:
        UserError: if the feature network cannot be opened.
    """

    names = ("fid",)

    def __init__(
        self, config: Config, records: RecordSet, advise: Callable[[str], None] = lambda _: None
    ) -> None:
        settings = config.evaluation
        assert settings.features is not None
        self._records = records
        self._count = settings.fid_images
        self._advise: Callable[[str], None] | None = advise
        self._network = open_features(settings.features)
        self._labels = None
        if config.data.labels:
            # Drawn once, so that all values of a run use the same labels.
            self._labels = labels_like(labels_of(records), self._count, seed=settings.seed)

    def __call__(self, task: PhaseTask, resolution: int) -> dict[str, float]:
        """Measure `{"fid": …}` at a resolution."""
        kept = self._records.folder.parent / REFERENCES
        # Cached on disk, so that each resolution is computed once.
        reals = references_for(self._records, resolution, self._network, kept).moments()
        images = GeneratedImages(Painter(task.exportable.sampler), self._count, self._labels)
        fakes = moments([extract(self._network, images.batches()).vectors])
        warning = advice(min(fakes.count, reals.count), len(reals.mean))
        if warning is not None and self._advise is not None:
            self._advise(f"FID while training: {warning}")
            # Once a run: the next values would say the same.
            self._advise = None
        return {"fid": fid_of(fakes, reals)}
