"""A run of a family with styles is measured under one kind of noise or the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from pipeline.data.prepare import records_for
from pipeline.data.records import RecordSet
from pipeline.errors import UserError
from pipeline.evaluation.evaluate import evaluate, plan_evaluation
from pipeline.evaluation.generated import GeneratedImages
from pipeline.evaluation.scores import obstacles
from pipeline.generating.drawing import Drawing, draw_images
from pipeline.loading import config_from
from pipeline.sampling.painter import Painter
from pipeline.training.synthesis import phase_task
from pipeline.training_run.folder import RunFolder
from pipeline.training_run.networks import SavedNetworks
from tests.pipeline.training.runs import Scattered, trainer_of

TINY = """
data: {source: digits, channels: 1}
network: {family: stylegan2, fmap_max: 8, latent_size: 6, style_size: 5, mapping_layers: 2}
objective: {loss: logistic, penalty: none, r1: 1.0, drift: 0.0}
schedule: {resolution: 8, start_resolution: 8, hold_images: 32, batch_size: 8}
optimizer: {average_half_life: 8}
run: {checkpoint_images: 32, sample_images: 32}
evaluation: {metrics: [swd, ms_ssim], images: 40}
"""


@contextmanager
def silent(title: str) -> Iterator[Callable[[int, int], None]]:
    yield lambda done, total: None


def trained(folder: RunFolder, *overrides: str) -> RecordSet:
    sets = folder.path.with_name("sets")
    config = config_from(TINY, [f"data.records={sets}", *overrides], origin="tiny")
    records = records_for(config.data, config.schedule.build().resolutions)
    folder.start(config, records, resume="never")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(phase_task, "SynthesisStep", Scattered)
        trainer_of(config, records, folder.path, []).train()
    return records


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[RunFolder, RecordSet]:
    folder = RunFolder(tmp_path_factory.mktemp("runs") / "styles")
    return folder, trained(folder)


@pytest.mark.slow
def test_noise_is_part_of_the_protocol(run: tuple[RunFolder, RecordSet]) -> None:
    folder, records = run
    found = [
        evaluate(folder, plan_evaluation(folder, records, folder.config(keys).evaluation), silent)
        for keys in ([], ["evaluation.noise=random"])
    ]
    for name in ("swd", "ms_ssim"):
        one, other = (each.score(name) for each in found)
        assert one.value != other.value
        assert "noise" not in one.protocol
        assert other.protocol == {**one.protocol, "noise": "random"}
        assert "noise" in obstacles(name, *found)[0]


@pytest.mark.slow
def test_images_are_those_that_generate_draws(run: tuple[RunFolder, RecordSet]) -> None:
    folder, _ = run
    checkpoint = folder.newest_checkpoint()
    painter = Painter(SavedNetworks(folder, checkpoint).sampler())
    for noise in ("constant", "random"):
        fakes = GeneratedImages(painter, 20, noise=noise)
        drawn = np.concatenate(list(draw_images(folder, Drawing(range(20), noise=noise))))
        np.testing.assert_array_equal(np.concatenate(list(fakes.batches())), drawn)
        np.testing.assert_array_equal(fakes.at([3, 17]), drawn[[3, 17]])


def test_a_family_without_noise_is_not_measured_under_it(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    records = trained(
        folder, "network.family=progan", "network.style_size=512", "network.mapping_layers=8"
    )
    settings = folder.config(["evaluation.noise=random"]).evaluation
    with pytest.raises(UserError, match=r"a family with styles. Received: progan"):
        plan_evaluation(folder, records, settings)
