"""FID on a small number of images while a run trains; the training loop logs it as a metric."""

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
    """FID between the current EMA generator and all training images; lower is better.

    It generates `evaluation.fid_images` images, always from the same seeds and labels. Fewer images
    give a higher FID, so compare these values only with each other.

    Args:
        config: Configuration with `evaluation.features`.
        records: Images that the run is trained on.
        advise: Callback for a warning about the values; called at most once.

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
            # Draw the labels once, so that all values of a run use the same.
            self._labels = labels_like(labels_of(records), self._count, seed=settings.seed)

    def __call__(self, task: PhaseTask, resolution: int) -> dict[str, float]:
        """Measure `{"fid": …}` at a resolution."""
        cache = self._records.folder.parent / REFERENCES
        # The features of the real images are cached on disk: each resolution is computed once.
        reals = references_for(self._records, resolution, self._network, cache).moments()
        images = GeneratedImages(Painter(task.exportable.sampler), self._count, self._labels)
        fakes = moments([extract(self._network, images.batches()).vectors])
        warning = advice(min(fakes.count, reals.count), len(reals.mean))
        if warning is not None and self._advise is not None:
            self._advise(f"FID while training: {warning}")
            # Warn once per run, because the same holds for the next values.
            self._advise = None
        return {"fid": fid_of(fakes, reals)}
