"""Evaluation while a run trains: FID of few images, and no scores of what is rolled back."""

from __future__ import annotations

from collections.abc import Callable

from pipeline.config import Config
from pipeline.data.dataset import labels_of
from pipeline.data.records import RecordSet
from pipeline.evaluation.extraction import extract
from pipeline.evaluation.fakes import Fakes, labels_like
from pipeline.evaluation.features import open_features
from pipeline.evaluation.references import REFERENCES, moments_of, references_for
from pipeline.evaluation.statistics.frechet import advice, frechet_distance, moments
from pipeline.run_folder import RunFolder
from pipeline.sampling.painter import Painter
from pipeline.training.loop.listeners import Listener
from pipeline.training.loop.task import PhaseTask
from pipeline.training.position import RollBack
from savedmodels import atomic


class FidInTraining:
    """FID of the average of the moment to all training images of its size; lower is better.

    It is of `evaluation.fid_images` images, always of the same seeds and labels. The fewer images,
    the higher it is: it compares with itself alone.

    Args:
        config: Configuration with `evaluation.features`.
        records: Images that the run is trained on.
        advise: Called once with what is to be said of the figures, if anything.

    Raises:
        UserError: if features cannot be had.
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
            self._labels = labels_like(labels_of(records), self._count, seed=settings.seed)

    def __call__(self, task: PhaseTask, resolution: int) -> dict[str, float]:
        """`{"fid": …}` of images of this many pixels."""
        kept = self._records.folder.parent / REFERENCES
        reals = references_for(self._records, resolution, self._network, kept)
        fakes = Fakes(Painter(task.exportable.sampler), self._count, self._labels)
        of_fakes = moments([extract(self._network, fakes.batches()).vectors])
        of_reals = moments_of(reals)
        said = advice(min(of_fakes.count, of_reals.count), len(of_reals.mean))
        if said is not None and self._advise is not None:
            self._advise(f"FID while training: {said}")
            self._advise = None
        return {"fid": frechet_distance(of_fakes, of_reals)}


class Evaluations(Listener):
    """Those of a run, which belong to its checkpoints.

    Args:
        run: Run that they belong to.
    """

    def __init__(self, run: RunFolder) -> None:
        self._run = run

    def rolled_back(self, roll_back: RollBack) -> None:
        """Remove those of checkpoints that will not be the same."""
        for images_seen in self._run.evaluated():
            if images_seen > roll_back.to:
                atomic.remove_folder(self._run.evaluation(images_seen))
