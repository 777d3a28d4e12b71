import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from pipeline.data import workers
from pipeline.data.checking import survey as surveying
from pipeline.data.checking.measurement import measure, thumbnail_features
from pipeline.data.checking.moments import frechet_distance, moments_of
from pipeline.data.checking.report import Survey
from pipeline.data.checking.survey import survey
from pipeline.data.formats import upright_eight_bit
from pipeline.data.sources import open_source
from pipeline.errors import UserError

Draw = Callable[..., PIL.Image.Image]


@pytest.fixture
def pets(tmp_path: Path, draw: Draw) -> Path:
    """Make a folder with something of everything that a check finds."""
    folder = tmp_path / "pets"
    for seed, name in enumerate(("cat/a.png", "cat/b.png", "cat/wide.jpg", "dog/c.png")):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        draw(40 if "wide" in name else 20, 16, seed=seed).save(folder / name)
    shutil.copy(folder / "cat/a.png", folder / "dog/copy of a.png")
    shutil.copy(folder / "cat/b.png", folder / "cat/copy of b.png")
    smooth = draw(5, 4, seed=9).resize((64, 48), PIL.Image.Resampling.BICUBIC)
    smooth.save(folder / "dog/smooth.png")
    smooth.save(folder / "dog/smooth.jpg", quality=95)
    draw(30, 30, "L").save(folder / "dog/grey.png")
    for level in (0, 90):
        PIL.Image.new("L", (16, 16), level).save(folder / f"dog/blank{level}.png")
    (folder / "cat/cut.png").write_bytes((folder / "cat/a.png").read_bytes()[:100])
    (folder / "dog/text.png").write_text("no picture")
    return folder


def colours_of(source: str) -> tuple[np.ndarray, np.ndarray]:
    """Mean and deviation of pixels where every picture has the same weight."""
    pixels = []
    for picture in open_source(source):
        values = np.asarray(upright_eight_bit(picture.read(), 3), float).reshape(-1, 3)
        pixels.append((values, np.full(len(values), 1 / len(values))))
    values = np.concatenate([values for values, _ in pixels])
    weights = np.concatenate([weights for _, weights in pixels])
    mean = np.average(values, axis=0, weights=weights)
    return mean, np.sqrt(np.average((values - mean) ** 2, axis=0, weights=weights))


def test_everything_is_found(pets: Path) -> None:
    found = survey(str(pets))
    assert (found.source, found.pictures, found.readable) == ("pets", 13, 11)
    assert [name for name, _ in found.corrupt] == ["cat/cut.png", "dog/text.png"]
    assert all(reason for _, reason in found.corrupt)
    assert found.formats == {"PNG": 9, "JPEG": 2}
    assert found.modes == {"RGB": 8, "L": 3}
    assert found.classes == {"cat": 4, "dog": 7}
    assert found.unlabelled == 0
    assert found.colours.grey_share == 3 / 11
    assert found.blank == ("dog/blank0.png", "dog/blank90.png")
    assert found.exact_duplicates == (
        ("cat/a.png", "dog/copy of a.png"),
        ("cat/b.png", "cat/copy of b.png"),
    )
    assert found.label_conflicts == 1
    assert found.near_duplicates == (("dog/smooth.jpg", "dog/smooth.png"),)
    assert len(found.content_sample) == 9
    assert list(found.content_sample) == sorted(found.content_sample)
    width = found.sizes.width
    assert (width.least, width.median, width.most) == (16, 20, 64)
    assert found.sizes.aspect_ratio.most == 40 / 16
    assert found.sizes.shortest_sides == {16: 9, 32: 2}
    assert found.sizes.longest_side.most == 64


def test_colours_are_those_of_all_pictures(pets: Path) -> None:
    for name in ("cat/cut.png", "dog/text.png"):
        (pets / name).unlink()
    found = survey(str(pets)).colours
    mean, std = colours_of(str(pets))
    np.testing.assert_allclose(found.mean, mean, rtol=1e-8)
    np.testing.assert_allclose(found.std, std, rtol=1e-8)


def test_features_are_those_of_all_pictures() -> None:
    found = survey("digits").features
    features = np.concatenate(
        [
            thumbnail_features(np.asarray(image.resize((32, 32), PIL.Image.Resampling.BOX))[None])
            for image in (picture.read().convert("RGB") for picture in open_source("digits"))
        ]
    )
    np.testing.assert_allclose(found.mean, features.mean(0), atol=1e-8)
    covariance = np.cov(features, rowvar=False, bias=True)
    np.testing.assert_allclose(found.moments(7).covariance, covariance, atol=1e-8)
    coins = np.array([content[-1] % 2 for content in measure(open_source("digits")).digests])
    halves = [moments_of(features[coins == side]) for side in (0, 1)]
    assert found.halves_distance == pytest.approx(frechet_distance(*halves), abs=1e-8)
    assert 0.4 < coins.mean() < 0.6


@pytest.mark.usefixtures("forked")
def test_nothing_depends_on_the_workers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images = np.random.default_rng(0).integers(0, 256, (500, 9, 7, 3), np.uint8)
    np.savez(tmp_path / "noise.npz", images=images, labels=np.arange(500) % 7)
    spec = str(tmp_path / "noise.npz")
    alone = survey(spec, workers=1)
    monkeypatch.setattr(workers, "WORTH_SHARING", -1)
    assert survey(spec, workers=2) == alone


def test_progress_is_reported_for_every_picture() -> None:
    reports: list[tuple[int, int]] = []
    survey("digits", workers=1, report=lambda done, total: reports.append((done, total)))
    assert reports == [(done, 1797) for done in range(1, 1798)]


def test_a_large_set_is_sampled_by_content(monkeypatch: pytest.MonkeyPatch) -> None:
    every = survey("digits")
    monkeypatch.setattr(surveying, "SAMPLE", 100)
    sampled = survey("digits")
    assert sampled.content_sample == every.content_sample[:100]
    assert sampled.symmetry.compared == 100


def test_a_picture_in_a_source_without_classes_has_none(tmp_path: Path, draw: Draw) -> None:
    for number in range(3):
        draw(seed=number).save(tmp_path / f"{number}.png")
    found = survey(str(tmp_path))
    assert (found.classes, found.unlabelled) == ({}, 3)
    assert not found.suggestions.labels.value


def test_nothing_readable_is_a_finding_too(tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("no picture")
    found = survey(str(tmp_path))
    assert (found.pictures, found.readable, len(found.corrupt)) == (1, 0, 1)
    assert found == Survey.model_validate_json(found.model_dump_json())


def test_a_source_that_does_not_exist(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="which does not exist"):
        survey(str(tmp_path / "none"))


@pytest.mark.parametrize(
    ("spec", "resolution", "crop", "channels", "mirror"),
    [
        ("digits", 8, "center", 1, False),
        ("glyphs:32x1500", 32, "center", 3, False),
        pytest.param(
            "mnist/t10k-images-idx3-ubyte.gz", 32, "pad", 1, False, marks=pytest.mark.slow
        ),
        ("flowers256_500.zip", 256, "center", 3, True),
        pytest.param("cifar10_jpeg_20k.zip/test", 32, "center", 3, True, marks=pytest.mark.slow),
        pytest.param("eurosat64_5k.zip", 64, "center", 3, True, marks=pytest.mark.slow),
    ],
)
def test_suggestions_for_real_sets(
    request: pytest.FixtureRequest, spec: str, resolution: int, crop: str, channels: int, mirror
) -> None:
    built_in = spec.startswith(("digits", "glyphs"))
    folder = None if built_in else request.getfixturevalue("shared_folder") / "data"
    suggested = survey(spec if folder is None else str(folder / spec)).suggestions
    assert suggested.resolution.value == resolution
    assert suggested.crop.value == crop
    assert suggested.channels.value == channels
    assert suggested.mirror.value is mirror
