"""FID while a run trains: when it is measured, where it is told, and what is kept by it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf

from pipeline.config import Config
from pipeline.data.prepare import records_for
from pipeline.errors import UserError
from pipeline.evaluation import in_training
from pipeline.evaluation.features import FeatureNetwork
from pipeline.evaluation.in_training import FidInTraining
from pipeline.training.loop import checkpoints
from pipeline.training.loop.recorders import JsonLines
from pipeline.training.synthesis import phase_task
from pipeline.training.synthesis.task import Synthesis
from tests.pipeline.training.runs import Idle, trainer_of


def config_of(records: Path, **run: Any) -> Config:
    return Config.model_validate(
        {
            "data": {"source": "digits", "channels": 1, "records": records},
            "network": {"fmap_max": 8, "latent_size": 8},
            "schedule": {
                "resolution": 8,
                "batch_size": 16,
                "hold_images": {4: 32, 8: 64},
                "fade_images": 32,
            },
            "run": {"log_images": 16, "checkpoint_images": 16, "keep_checkpoints": 1, **run},
            "evaluation": {"features": "projection", "fid_every_images": 32, "fid_images": 64},
        }
    )


@pytest.mark.slow
def test_it_is_a_metric_like_others_and_keeps_the_best(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, projection: FeatureNetwork
) -> None:
    monkeypatch.setattr(in_training, "open_features", lambda spec: projection)
    config = config_of(tmp_path / "records", keep_best="fid")
    records = records_for(config.data, config.schedule.build().resolutions)
    score = FidInTraining(config, records)
    log = tmp_path / "metrics.jsonl"
    trainer_of(config, records, tmp_path / "run", [JsonLines(log)], score=score).train()
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    found = {line["images_seen"]: line["fid"] for line in lines if "fid" in line}
    # Phases end at 48, 64 and 128. It stays until it is measured again, or a phase begins.
    assert list(found) == [32, 48, 64, 96, 112, 128]
    assert found[112] == found[96]
    assert len(set(found.values())) == 5
    kept = checkpoints.all_in(tmp_path / "run")
    # Of the size that was held last, and of weights that it was measured on.
    best = checkpoints.best_of(kept, "fid", "min", fading=(1,))
    assert best.metrics["fid"] == min(found[96], found[128])
    assert "fid" not in best.former


def test_few_images_for_the_features_are_told_of_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, projection: FeatureNetwork
) -> None:
    monkeypatch.setattr(in_training, "open_features", lambda spec: projection)
    config = config_of(tmp_path / "records")
    evaluation = config.evaluation.model_copy(update={"fid_images": 8})
    config = config.model_copy(update={"evaluation": evaluation})
    records = records_for(config.data, config.schedule.build().resolutions)
    told: list[str] = []
    score = FidInTraining(config, records, told.append)
    phase = config.schedule.build().phases[-1]
    trained = Synthesis(config, records, tf.distribute.get_strategy()).phase(phase)
    for _ in range(2):
        assert score(trained, phase.resolution)["fid"] > 0
    [line] = told
    assert line.startswith("FID while training: 8 images give a covariance of ")


def test_an_unknown_metric_is_still_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, projection: FeatureNetwork
) -> None:
    monkeypatch.setattr(in_training, "open_features", lambda spec: projection)
    monkeypatch.setattr(phase_task, "SynthesisStep", Idle)
    config = config_of(tmp_path / "records", keep_best="fit")
    records = records_for(config.data, config.schedule.build().resolutions)
    score = FidInTraining(config, records)
    with pytest.raises(UserError, match=r"one of .*, fid, .* Received: fit"):
        trainer_of(config, records, tmp_path / "run", [], score=score).train()


def test_it_needs_features() -> None:
    with pytest.raises(ValueError, match=r"needs `evaluation.features`"):
        Config.model_validate(
            {"schedule": {"resolution": 8}, "evaluation": {"fid_every_images": 100}}
        )
