"""Images of styles: by seed, truncated, mixed, under each kind of noise."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from pipeline.data.grids import GAP
from pipeline.data.prepare import records_for
from pipeline.errors import UserError
from pipeline.families.stylegan2.config import StyleGAN2Config
from pipeline.families.stylegan2.networks import Generator
from pipeline.generating.drawing import Drawing, draw_images, draw_sheet
from pipeline.generating.seeds import parse_factors
from pipeline.generating.sheets import mixing_sheet, truncation_sheet
from pipeline.loading import config_from
from pipeline.sampling.painter import Painter
from pipeline.sampling.sampler import StyleSampler, sampler_of
from pipeline.training.synthesis import phase_task
from pipeline.training_run.folder import RunFolder
from savedmodels.seeds import to_uint8
from tests.pipeline.training.runs import Scattered, trainer_of

SIDE = 8
TINY = """
data: {source: digits, channels: 1, labels: true}
network: {family: FAMILY, fmap_max: 8, latent_size: 6, style_size: 5, mapping_layers: 2}
objective: {loss: logistic, penalty: none, r1: 1.0, drift: 0.0}
schedule: {resolution: 8, start_resolution: 8, hold_images: 32, batch_size: 8}
run: {checkpoint_images: 32, sample_images: 32}
"""


def average(label_size: int = 0) -> StyleSampler:
    """A generator with random weights, among them what usually starts at 0."""
    config = StyleGAN2Config(fmap_max=8, latent_size=6, style_size=5, mapping_layers=2)
    network = Generator(config, channels=3, label_size=label_size, name="average")
    model = network.model(SIDE, fading=False)
    draw = np.random.default_rng(0)
    for weight in model.weights:
        if not weight.numpy().any():
            weight.assign(draw.normal(size=weight.shape))
    return sampler_of(network, model, SIDE, fading=False)


@pytest.fixture(scope="module")
def painter() -> Painter:
    return Painter(average())


def test_untruncated_images_of_styles_are_those_of_the_model() -> None:
    painter, seeds = Painter(average(label_size=3)), [5, 3, 900]
    styles = painter.styles(seeds, [0, 2, 1])
    assert styles.shape == (3, painter.layers, 5)
    assert (styles == styles[:, :1]).all()
    images = painter.images(painter.truncated(styles, 1.0), seeds)
    sampler = painter.sampler
    whole = sampler.model([sampler.latents(seeds), tf.one_hot([0, 2, 1], 3)])
    expected = to_uint8(whole).numpy()
    assert np.abs(images.astype(int) - expected).max() <= 1
    floats = painter.floats(styles)
    assert np.abs(np.clip(floats, 0, 255) - expected).max() <= 1


def test_an_image_does_not_depend_on_its_neighbours(painter: Painter) -> None:
    seeds = list(range(19))
    styles = painter.styles(seeds)
    for noise in ("constant", "random", "none"):
        images = painter.images(styles, seeds, noise)
        alone = painter.images(painter.styles(seeds[17:18]), seeds[17:18], noise)
        np.testing.assert_array_equal(alone[0], images[17])


def test_noise_is_constant_by_seed_or_none(painter: Painter) -> None:
    styles = painter.styles([1, 1, 2])
    found = {noise: painter.images(styles, [1, 1, 2], noise) for noise in ("random", "none")}
    found["constant"] = painter.images(styles, [7, 8, 9])
    for images in found.values():
        np.testing.assert_array_equal(images[0], images[1])
    moved = painter.images(styles, [1, 3, 2], "random")
    np.testing.assert_array_equal(moved[[0, 2]], found["random"][[0, 2]])
    assert (moved[1] != found["random"][1]).any()
    for one, other in (("random", "none"), ("constant", "none"), ("random", "constant")):
        assert (found[one] != found[other]).any()


def test_truncation_is_a_lerp_towards_the_mean_in_the_first_layers(painter: Painter) -> None:
    styles = painter.styles([4, 5])
    mean = painter.truncated(styles, 0.0)
    assert (mean == mean[:1, :1]).all()
    assert mean.any()
    for psi in (0.7, -0.5):
        expected = mean + psi * (styles - mean)
        np.testing.assert_allclose(painter.truncated(styles, psi), expected, atol=1e-6)
        cut = painter.truncated(styles, psi, cutoff=2)
        np.testing.assert_allclose(cut[:, :2], expected[:, :2], atol=1e-6)
        np.testing.assert_array_equal(cut[:, 2:], styles[:, 2:])


def tiles(sheet: np.ndarray, columns: int) -> np.ndarray:
    """A sheet's tiles, `(rows, columns, side, side, channels)`."""
    step = (sheet.shape[1] + GAP) // columns
    side = step - GAP
    rows = (sheet.shape[0] + GAP) // step
    return np.stack(
        [
            [sheet[y * step : y * step + side, x * step : x * step + side] for x in range(columns)]
            for y in range(rows)
        ]
    )


def test_a_truncation_sheet_has_a_row_for_each_seed(painter: Painter) -> None:
    seeds, psis = [3, 8, 9], [0.0, 1.0]
    styles = painter.styles(seeds)
    found = tiles(truncation_sheet(painter, styles, seeds, psis), columns=2)
    assert found.shape[:2] == (3, 2)
    assert (found[:, 0] == found[0, 0]).all()
    plain = painter.images(styles, seeds).repeat(4, axis=1).repeat(4, axis=2)
    np.testing.assert_array_equal(found[:, 1], plain)


def test_a_mixing_sheet_takes_some_layers_from_its_columns(painter: Painter) -> None:
    rows, columns, layers = [1, 2], [3, 4, 5], [1, 2]
    of_rows, of_columns = painter.styles(rows), painter.styles(columns)
    sheet = mixing_sheet(painter, (of_rows, rows), (of_columns, columns), layers)
    found = tiles(sheet, columns=4)
    assert found.shape[:2] == (3, 4)
    assert not found[0, 0].any()
    styles = of_rows[[1]].copy()
    styles[:, layers] = of_columns[[2]][:, layers]
    for (row, column), image in {
        (0, 3): painter.images(of_columns[[2]], [5]),
        (2, 0): painter.images(of_rows[[1]], [2]),
        (2, 3): painter.images(styles, [2]),
    }.items():
        expected = image[0].repeat(4, axis=0).repeat(4, axis=1)
        np.testing.assert_array_equal(found[row, column], expected)


@pytest.mark.parametrize(
    ("text", "shares"), [("0.7", [0.7]), ("-1,0, .5,1", [-1.0, 0.0, 0.5, 1.0])]
)
def test_shares_are_parsed(text: str, shares: list[float]) -> None:
    assert parse_factors(text, "--truncation") == shares


@pytest.mark.parametrize("text", ["", "a", "1,,2", "nan", "1e999"])
def test_what_are_no_shares_is_refused(text: str) -> None:
    with pytest.raises(UserError, match=r"`--truncation` must be numbers .*Received"):
        parse_factors(text, "--truncation")


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], RunFolder]:
    made: dict[str, RunFolder] = {}
    folder = tmp_path_factory.mktemp("runs")

    def make(family: str) -> RunFolder:
        if family not in made:
            overrides = [f"data.records={folder / 'records'}", f"network.family={family}"]
            if family == "progan":
                overrides += ["network.style_size=512", "network.mapping_layers=8"]
            config = config_from(TINY, overrides, origin="tiny")
            records = records_for(config.data, config.schedule.build().resolutions)
            made[family] = RunFolder(folder / family)
            made[family].start(config, records, resume="never")
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(phase_task, "SynthesisStep", Scattered)
                trainer_of(config, records, made[family].path, []).train()
        return made[family]

    return make


@pytest.mark.parametrize("family", [pytest.param("stylegan", marks=pytest.mark.slow), "stylegan2"])
def test_what_is_asked_of_a_run_is_drawn(
    runs: Callable[[str], RunFolder], family: str, tmp_path: Path
) -> None:
    run = runs(family)
    seeds = [0, 1, 2]
    plain = np.concatenate(list(draw_images(run, Drawing(seeds))))
    assert plain.shape == (3, 8, 8, 1)
    less = np.concatenate(list(draw_images(run, Drawing(seeds, truncation=[0.5]))))
    assert (less != plain).any()
    one = np.concatenate(list(draw_images(run, Drawing(seeds, label="3", noise="none"))))
    assert one.shape == plain.shape
    for drawing, rows, columns in (
        (Drawing(seeds), 2, 2),
        (Drawing(seeds, truncation=[0.0, 0.5, 1.0, 1.5]), 3, 4),
        (Drawing(seeds, mixed=[7, 8], mixed_layers=[0, 1]), 4, 3),
    ):
        assert tiles(draw_sheet(run, drawing), columns).shape[:2] == (rows, columns)


@pytest.mark.parametrize(
    ("family", "keys", "rule"),
    [
        ("progan", {"truncation": [0.7]}, "styles need a run of a family that has them.*progan"),
        ("progan", {"noise": "none"}, "styles need a run of a family that has them.*progan"),
        ("stylegan2", {"label": "cat"}, "`--label` must be a class of the run: 0, 1"),
        ("stylegan2", {"mixed": [1], "mixed_layers": [0, 4]}, "0 to 3. Received: 0, 4"),
        ("stylegan2", {"mixed": [1], "mixed_layers": [0], "truncation": [0, 1]}, "several"),
    ],
)
def test_what_cannot_be_drawn_is_refused(
    runs: Callable[[str], RunFolder], family: str, keys: dict[str, Any], rule: str
) -> None:
    with pytest.raises(UserError, match=rule):
        draw_sheet(runs(family), Drawing([0, 1], **keys))


def test_single_images_are_no_sheet(runs: Callable[[str], RunFolder]) -> None:
    for keys in ({"truncation": [0.0, 1.0]}, {"mixed": [1], "mixed_layers": [0]}):
        with pytest.raises(UserError, match="single images must have one `--truncation`"):
            list(draw_images(runs("stylegan2"), Drawing([0], **keys)))
