"""A run is measured, and the gate tells good models from bad ones by what was measured."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import keras
import numpy as np
import pytest
from keras import ops

from pipeline.config import Config, EvaluationConfig, GateConfig
from pipeline.data.dataset import images_of, labels_of
from pipeline.data.prepare import records_for
from pipeline.data.records import RecordSet
from pipeline.errors import UserError
from pipeline.evaluation import evaluate as module
from pipeline.evaluation.evaluate import evaluate, measure, plan_evaluation
from pipeline.evaluation.features import FeatureNetwork
from pipeline.evaluation.gate import judge
from pipeline.evaluation.material import EvaluationPlan
from pipeline.evaluation.report import write_report
from pipeline.evaluation.scores import Evaluation, Score, folder_of, read_scores
from pipeline.families.progan.networks import Generator
from pipeline.sampling.sampler import latent_sampler
from pipeline.training.synthesis import phase_task
from pipeline.training_run.folder import RunFolder
from pipeline.training_run.networks import SavedNetworks
from tests.pipeline.training.runs import Scattered, trainer_of

SIDE = 8
PICTURES = ("best", "nearest", "samples", "worst")
POLICY = GateConfig(max_fid=0.1, min_recall=0.3, max_memorisation=0.1, min_images=1000)


@contextmanager
def silent(title: str) -> Iterator[Callable[[int, int], None]]:
    yield lambda done, total: None


class Shows(keras.layers.Layer):
    """Images of a table, chosen by the label and by the first latent."""

    def __init__(self, images: np.ndarray, labels: np.ndarray) -> None:
        super().__init__()
        order = np.argsort(labels, kind="stable")
        self._table = np.float32(images[order] / 127.5 - 1)
        self._counts = np.bincount(labels, minlength=10).astype(np.float32)
        self._starts = np.cumsum(self._counts) - self._counts

    def call(self, latents: Any, labels: Any) -> Any:
        uniform = 0.5 + 0.499 * ops.erf(latents[:, 0] / np.sqrt(2.0))
        place = ops.matmul(labels, self._starts) + ops.floor(
            uniform * ops.matmul(labels, self._counts)
        )
        return ops.take(self._table, ops.cast(place, "int32"), axis=0)


def showing(images: np.ndarray, labels: np.ndarray) -> keras.Model:
    inputs = [keras.Input((8,), name="latents"), keras.Input((10,), name="labels")]
    return keras.Model(inputs, Shows(images, labels)(*inputs))


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Config:
    return Config.model_validate(
        {
            "data": {
                "source": "digits",
                "channels": 1,
                "labels": True,
                "val": 0.4,
                "records": tmp_path_factory.mktemp("sets") / "records",
            },
            "network": {"fmap_max": 8, "latent_size": 8},
            "schedule": {
                "resolution": SIDE,
                "batch_size": 16,
                "hold_images": {4: 16, SIDE: 32},
                "fade_images": 16,
            },
            "run": {"checkpoint_images": 16, "keep_checkpoints": 9},
        }
    )


@pytest.fixture(scope="module")
def records(config: Config) -> RecordSet:
    return records_for(config.data, config.schedule.build().resolutions)


@pytest.fixture(scope="module")
def run(config: Config, records: RecordSet, tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    folder = RunFolder(tmp_path_factory.mktemp("runs") / "digits")
    folder.start(config, records, resume="never")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(phase_task, "SynthesisStep", Scattered)
        trainer_of(config, records, folder.path, []).train()
    return folder


@pytest.fixture(autouse=True)
def _features(monkeypatch: pytest.MonkeyPatch, projection: FeatureNetwork) -> None:
    monkeypatch.setattr(module, "open_features", lambda spec: projection)


def settings(**keys: Any) -> EvaluationConfig:
    return EvaluationConfig.model_validate({"features": "projection", "images": 1000, **keys})


def plan(run: RunFolder, records: RecordSet, **keys: Any) -> EvaluationPlan:
    return plan_evaluation(run, records, settings(**keys))


def test_everything_is_measured_and_written(run: RunFolder, records: RecordSet) -> None:
    found = evaluate(run, plan(run, records, images=200), silent)
    folder = folder_of(run, found)
    assert read_scores(folder) == found
    assert sorted(file.stem for file in folder.glob("*.png")) == list(PICTURES)
    assert (found.run, found.checkpoint, found.images_seen) == ("digits", "images-000000064", 64)
    assert {score.name for score in found.scores} == {
        "fid", "fid_infinity", "kid", "inception_score", "precision", "recall", "density",
        "coverage", "swd", "swd_8", "ms_ssim", "feature_distance", "memorisation",
        "classification_accuracy",
    }  # fmt: skip
    assert all(score.protocol["images"] == 200 for score in found.scores)
    assert len(found.classes) == 10
    assert sum(each.images for each in found.classes) == 200
    assert found.lineage.data_hash == records.data_hash
    assert "digits" in write_report(run, found).read_text()


def plan_of_3(run: RunFolder, records: RecordSet, **keys: Any) -> EvaluationPlan:
    """Fewer images than the configuration allows."""
    made = plan(run, records, **keys)
    return replace(made, settings=made.settings.model_copy(update={"images": 3}))


def test_what_cannot_be_measured_says_why_and_the_rest_is_given(
    run: RunFolder, records: RecordSet
) -> None:
    found = evaluate(run, plan_of_3(run, records), silent)
    names = {score.name for score in found.scores}
    assert {"kid", "swd"} <= names
    assert {"fid", "precision_recall"} <= found.not_measured.keys()
    assert "at least 6 features" in found.not_measured["precision_recall"]
    report = write_report(run, found).read_text()
    assert f"Not measured: fid, because {found.not_measured['fid']}" in report
    with pytest.raises(
        UserError, match=r"at least one measure must be possible\. Received: fid: `features` must"
    ):
        measure(run, plan_of_3(run, records, metrics=["fid"]), silent)


def test_advice_is_told_and_decides_nothing(run: RunFolder, records: RecordSet) -> None:
    found = measure(run, plan(run, records, images=60, metrics=["fid"]), silent)
    fid = found.score("fid")
    assert fid.advice is not None
    assert "advice" not in fid.protocol
    assert "FID" in found.advice[fid.advice]
    former = fid.model_dump()
    former["protocol"] |= {"advice": former.pop("advice")}
    assert Score.model_validate(former) == fid


@pytest.mark.slow
def test_it_is_a_function_of_checkpoint_data_and_plan(run: RunFolder, records: RecordSet) -> None:
    one, two, other = (
        evaluate(run, plan(run, records, images=200, seed=seed), silent) for seed in (0, 0, 1)
    )
    assert one.scores == two.scores
    assert one.classes == two.classes
    assert one.score("kid") != other.score("kid")


def test_a_checkpoint_in_a_fade_is_measured_and_an_unknown_one_named(
    run: RunFolder, records: RecordSet
) -> None:
    wanted = settings(metrics=["swd", "path_length"], images=64)
    found = evaluate(run, plan_evaluation(run, records, wanted, images_seen=48), silent)
    assert [score.name for score in found.scores] == [
        "swd", "swd_8", "path_length_z", "path_length_z_end",
    ]  # fmt: skip
    assert found.images_seen == 48
    assert found.scores[2].value > 0
    with pytest.raises(UserError, match=r"one after 16, 32, 48, 64 images\. Received: 17"):
        plan_evaluation(run, records, wanted, images_seen=17)


def test_a_named_metric_that_lacks_something_is_refused(run: RunFolder, records: RecordSet) -> None:
    assert plan(run, records, metrics=["memorisation"]).measures == ("memorisation",)
    with pytest.raises(UserError, match="the metric fid needs features"):
        plan(run, records, features=None, metrics=["fid"])


def test_without_features_what_needs_them_is_left_out(run: RunFolder, records: RecordSet) -> None:
    found = plan(run, records, features=None)
    assert found.measures == ("swd", "ms_ssim")
    assert found.left_out["fid"].startswith("features")


def test_other_data_is_refused(run: RunFolder, config: Config) -> None:
    other = config.data.model_copy(update={"val": 0.0})
    records = records_for(other, config.schedule.build().resolutions)
    with pytest.raises(UserError, match="the data that it was trained on"):
        plan(run, records)


def generator(kind: str, records: RecordSet) -> keras.Model:
    if kind == "untrained":
        sizes = {"fmap_max": 8, "latent_size": 8}
        network = Config.model_validate({"network": sizes, "schedule": {"resolution": 8}}).network
        return Generator(network, channels=1, label_size=10).model(SIDE, fading=False)
    split = "val" if kind == "good" else "train"
    samples = images_of(records, SIDE, split).as_numpy_iterator()
    images = np.stack([sample["image"] for sample in samples])
    if kind == "mirroring":
        images = images[:, :, ::-1]
    labels = labels_of(records, split)
    if kind == "collapsed":  # One image a class.
        images = images[[np.flatnonzero(labels == label)[0] for label in range(10)]]
        labels = np.arange(10)
    return showing(images, labels)


@pytest.fixture(scope="module")
def scores(run: RunFolder, records: RecordSet) -> Callable[[str], Evaluation]:
    kept: dict[str, Evaluation] = {}

    def of(kind: str) -> Evaluation:
        if kind not in kept:
            with pytest.MonkeyPatch.context() as patch:
                sampler = latent_sampler(generator(kind, records))
                patch.setattr(SavedNetworks, "sampler", lambda *_: sampler)
                wanted = plan(run, records, metrics=["fid", "precision_recall", "memorisation"])
                kept[kind] = evaluate(run, wanted, silent)
        return kept[kind]

    return of


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "broken"),
    [
        ("good", set()),
        ("untrained", {"max_fid", "min_recall"}),
        ("collapsed", {"max_fid", "min_recall", "max_memorisation"}),
        ("memorising", {"max_memorisation"}),
    ],
)
def test_the_gate_passes_a_good_model_alone(
    scores: Callable[[str], Evaluation], kind: str, broken: set[str]
) -> None:
    verdict = judge(scores(kind), POLICY)
    assert {rule.rule for rule in verdict.rules if not rule.passed} == broken
    assert verdict.passed == (not broken)


@pytest.mark.slow
@pytest.mark.parametrize("mirror", [True, False])
def test_copies_of_mirrored_images_are_copies_where_they_were_shown(
    run: RunFolder, records: RecordSet, monkeypatch: pytest.MonkeyPatch, mirror: bool
) -> None:
    config = run.config()
    data = config.data.model_copy(update={"mirror": mirror})
    config = config.model_copy(update={"data": data})
    monkeypatch.setattr(RunFolder, "config", lambda _: config)
    sampler = latent_sampler(generator("mirroring", records))
    monkeypatch.setattr(SavedNetworks, "sampler", lambda *_: sampler)
    found = evaluate(run, plan(run, records, metrics=["memorisation"]), silent)
    [score] = found.scores
    assert (score.value > 0.9) is mirror
    assert ("mirrored" in score.protocol) is mirror


@pytest.mark.slow
def test_the_promoted_is_held_against_a_worse_one(scores: Callable[[str], Evaluation]) -> None:
    policy = GateConfig(max_fid_increase_over_promoted=0.5, min_images=1000)
    assert judge(scores("good"), policy, scores("good")).passed
    assert judge(scores("good"), policy, scores("untrained")).passed
    assert not judge(scores("untrained"), policy, scores("good")).passed
