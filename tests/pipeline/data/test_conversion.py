import numpy as np
import PIL.Image
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.config import DataConfig
from pipeline.data.conversion import reduced, resized, to_pixels


def square(picture: PIL.Image.Image, resolution: int, **options: object) -> np.ndarray:
    return to_pixels(picture, DataConfig(**options), (resolution, resolution))


def crop(picture: PIL.Image.Image, resolution: int = 4, channels: int = 3) -> np.ndarray:
    return square(picture, resolution, channels=channels)


def pad(picture: PIL.Image.Image, resolution: int, channels: int = 1) -> np.ndarray:
    return square(picture, resolution, channels=channels, crop="pad")


@settings(deadline=None)
@given(
    st.integers(1, 70),
    st.integers(1, 70),
    st.sampled_from(["L", "RGB", "RGBA", "CMYK", "I;16", "P", "1"]),
    st.sampled_from([1, 3]),
    st.sampled_from(["center", "pad", "stretch"]),
    st.sampled_from(["lanczos", "box", "area"]),
)
def test_any_picture_becomes_a_square(width, height, mode, channels, crop, filter) -> None:
    picture = PIL.Image.new(mode, (width, height))
    made = square(picture, 16, channels=channels, crop=crop, filter=filter)
    assert made.shape == (16, 16, channels)
    assert made.dtype == np.uint8


def test_without_cropping_pictures_are_kept_or_refused() -> None:
    values = np.random.default_rng(0).integers(0, 256, (8, 8, 3), np.uint8)
    assert (square(PIL.Image.fromarray(values), 8, crop="none") == values).all()
    with pytest.raises(ValueError, match="Received: 8 px wide and 7 px high"):
        square(PIL.Image.fromarray(values[:7]), 8, crop="none")


@pytest.mark.parametrize(
    ("size", "box"),
    [((150, 90), (15, 0, 135, 90)), ((60, 90), (0, 22, 60, 67)), ((64, 48), (0, 0, 64, 48))],
)
def test_a_rectangle_is_the_largest_centred_part_of_its_proportions(size, box) -> None:
    values = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), np.uint8)
    picture = PIL.Image.fromarray(values)
    expected = resized(picture.crop(box), (64, 48), "lanczos")
    assert (to_pixels(picture, DataConfig(), (48, 64)) == expected).all()


@pytest.mark.parametrize(
    ("size", "inside"), [((40, 20), (40, 20)), ((128, 48), (64, 24)), ((64, 96), (32, 48))]
)
def test_a_rectangle_is_padded_on_its_free_sides(size, inside) -> None:
    picture = PIL.Image.new("L", size, 255)
    made = to_pixels(picture, DataConfig(channels=1, crop="pad"), (48, 64))[..., 0]
    top, left = (48 - inside[1]) // 2, (64 - inside[0]) // 2
    assert made.shape == (48, 64)
    assert (made[top : top + inside[1], left : left + inside[0]] == 255).all()
    assert (made == 255).sum() == inside[0] * inside[1]


def test_stretch_takes_the_whole_picture() -> None:
    values = np.random.default_rng(0).integers(0, 256, (6, 12), np.uint8)
    made = square(PIL.Image.fromarray(values), 6, channels=1, crop="stretch", filter="box")[..., 0]
    assert (made == np.floor(values.reshape(6, 6, 2).mean(axis=2) + 0.5)).all()


@settings(deadline=None)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 40), st.integers(1, 40))
def test_area_weighs_every_pixel_by_its_share(width, height, new_width, new_height) -> None:
    values = np.random.default_rng(width).integers(0, 256, (height, width), np.uint8)
    made = resized(PIL.Image.fromarray(values), (new_width, new_height), "area")
    # Repeated to a common multiple, each new pixel is a plain mean of a block.
    fine = values.repeat(new_height, axis=0).repeat(new_width, axis=1).astype(np.float64)
    means = fine.reshape(new_height, height, new_width, width).mean(axis=(1, 3))
    assert made.shape == (new_height, new_width)
    assert abs(made - means).max() <= 0.5 + 1e-6


@pytest.mark.parametrize("filter", ["box", "area"])
def test_filters_agree_with_halving(filter: str) -> None:
    values = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    made = square(PIL.Image.fromarray(values), 8, filter=filter).astype(int)
    assert abs(made - reduced(values, (8, 8))).max() <= (1 if filter == "box" else 0)


def test_crop_takes_the_centre() -> None:
    wide = np.zeros((4, 13), np.uint8)
    wide[:, 4:8] = 200
    assert (crop(PIL.Image.fromarray(wide), channels=1) == 200).all()
    assert (crop(PIL.Image.fromarray(wide.T), channels=1) == 200).all()


def test_crop_enlarges_smoothly() -> None:
    step = np.repeat(np.array([[0, 0, 255, 255]], np.uint8), 4, axis=0)
    row = crop(PIL.Image.fromarray(step), 16, 1)[8, :, 0].astype(int)
    assert (np.diff(row[5:11]) > 0).all()


def test_pad_never_enlarges() -> None:
    values = np.random.default_rng(0).integers(1, 256, (28, 28), np.uint8)
    square = pad(PIL.Image.fromarray(values), 32)[..., 0]
    assert (square[2:30, 2:30] == values).all()
    assert np.count_nonzero(square) == values.size


def test_pad_reduces_to_fit() -> None:
    square = pad(PIL.Image.new("L", (100, 50), 200), 16)[..., 0]
    assert (square[4:12] == 200).all()
    assert not square[:4].any()
    assert not square[12:].any()


@pytest.mark.parametrize("channels", [1, 3])
def test_reduced_is_the_mean_rounded_to_even(channels: int) -> None:
    square = np.random.default_rng(0).integers(0, 256, (32, 32, channels), np.uint8)
    for resolution in (32, 16, 8, 4):
        factor = 32 // resolution
        expected = np.zeros((resolution, resolution, channels))
        for row in range(factor):
            for column in range(factor):
                expected += square[row::factor, column::factor]
        expected = np.rint(expected / factor**2)
        assert (reduced(square, (resolution, resolution)) == expected).all()


def test_reduced_rounds_once_and_does_not_overflow() -> None:
    halves = np.tile(np.array([[0, 1], [1, 0]], np.uint8), (2, 2))[..., None]
    assert (reduced(halves, (2, 2)) == 0).all()
    assert (reduced(halves + 1, (2, 2)) == 2).all()
    # Rounding after each halving would give 1 here.
    lone = np.zeros((4, 4, 1), np.uint8)
    lone[0, :2] = lone[2, 0] = lone[0, 2] = lone[1, 2] = lone[2, 2] = lone[3, 2] = 1
    assert reduced(lone, (1, 1)) == 0
    assert reduced(np.full((1024, 1024, 1), 255, np.uint8), (4, 4)).min() == 255


def test_mnist_gets_two_pixels_of_border(shared_folder) -> None:
    from pipeline.data.sources import open_source

    source = open_source(str(shared_folder / "data/mnist/t10k-images-idx3-ubyte.gz"))
    for _, picture in zip(range(50), source, strict=False):
        square = pad(picture.read(), 32)[..., 0]
        assert (square[2:30, 2:30] == np.asarray(picture.read())).all()
        assert square.sum() == np.asarray(picture.read()).sum()
