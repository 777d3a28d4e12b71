import hashlib
import io
import warnings
from collections.abc import Callable
from pathlib import Path

import imagehash
import numpy as np
import PIL.Image
import pytest

from pipeline.data.checking.measurement import (
    GREY_SPREAD,
    is_in_colour,
    measure,
    perceptual_hashes,
    thumbnail_features,
)
from pipeline.data.sources import Picture, Source, open_source

Draw = Callable[..., PIL.Image.Image]


def picture(image: PIL.Image.Image, name: str = "x", label: int | None = None) -> Picture:
    return Picture(name, label, image.tobytes, lambda: image)


def array(values: np.ndarray) -> Picture:
    return picture(PIL.Image.fromarray(values.astype(np.uint8)))


def thumbs(count: int = 3, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, 32, 32, 3), np.uint8)


def test_hashes_are_those_of_imagehash(draw: Draw) -> None:
    images = [draw(width, 40, seed=width) for width in (8, 32, 51, 300)]
    expected = [int(str(imagehash.phash(image)), 16) for image in images]
    assert measure(map(picture, images)).hashes.tolist() == expected


def test_rounding_does_not_decide_about_a_hash() -> None:
    # Of this gradient all but eight coefficients are zero.
    rows = np.repeat(np.arange(0, 256, 8, np.uint8)[:, None], 32, axis=1)
    flat = np.full((32, 32), 77, np.uint8)
    first, second, blank = perceptual_hashes(np.stack([rows, rows[::-1], flat])).tolist()
    assert first & second == 1 << 63  # the mean level
    assert (first | second).bit_count() <= 8
    assert blank == 1 << 63


def test_colours_are_those_of_every_pixel(draw: Draw) -> None:
    image = draw(37, 21)
    measured = measure([picture(image)])
    values = np.asarray(image).reshape(-1, 3).astype(float)
    np.testing.assert_allclose(measured.means[0], values.mean(0), rtol=1e-12)
    variance = measured.squares[0] - measured.means[0] ** 2
    np.testing.assert_allclose(np.sqrt(variance), values.std(0), rtol=1e-9)


@pytest.mark.parametrize("size", [(32, 32), (500, 300)])
def test_grey_is_what_has_no_colour_anywhere(size: tuple[int, int]) -> None:
    values = np.random.default_rng(0).integers(20, 200, (*size, 1)).repeat(3, axis=2)
    assert measure([array(values)]).grey[0]
    values[5, 7, 1] += GREY_SPREAD - (values[5, 7, 1] - values[5, 7, 0])
    assert measure([array(values)]).grey[0]
    values[5, 7, 1] += 1
    assert not measure([array(values)]).grey[0]


@pytest.mark.parametrize("mode", ["1", "L", "LA", "I;16"])
def test_modes_without_colour_are_grey(mode: str) -> None:
    measured = measure([picture(PIL.Image.new(mode, (9, 9), 0))])
    assert measured.grey[0]
    assert measured.modes == [mode]


def test_black_borders_are_seen() -> None:
    digit = np.zeros((28, 28), np.uint8)
    digit[4:24, 4:24] = 200
    frame = np.full((28, 28), 200, np.uint8)
    frame[1:] = 0
    assert measure([array(digit), array(frame)]).dark_borders.tolist() == [True, False]


def test_what_is_stored_is_told(draw: Draw) -> None:
    buffer = io.BytesIO()
    exif = PIL.Image.Exif()
    exif[0x0112] = 6  # the camera lay on its side
    draw(20, 10).save(buffer, "JPEG", exif=exif)
    stored = PIL.Image.open(io.BytesIO(buffer.getvalue()))
    measured = measure([Picture("a.jpg", 3, buffer.getvalue, lambda: stored), array(np.eye(8))])
    assert measured.names == ["a.jpg", "x"]
    assert measured.labels.tolist() == [3, -1]
    assert measured.formats == ["JPEG", "pixels"]
    assert measured.modes == ["RGB", "L"]
    assert measured.sizes.tolist() == [[10, 20], [8, 8]]
    assert measured.digests[0] == hashlib.sha256(buffer.getvalue()).digest()


def test_features_are_means_and_deviations_of_cells() -> None:
    images = thumbs()
    found = thumbnail_features(images)
    assert found.shape == (3, 64)
    for number, image in enumerate(images / 255):
        luma = 0.299 * image[..., 0] + 0.587 * image[..., 1] + 0.114 * image[..., 2]
        for row in range(4):
            for column in range(4):
                cell = np.s_[8 * row : 8 * row + 8, 8 * column : 8 * column + 8]
                values = found[number].reshape(4, 4, 4)[:, row, column]
                expected = [*image[cell].mean((0, 1)), luma[cell].std()]
                np.testing.assert_allclose(values, expected, rtol=1e-9)


def test_what_cannot_be_read_is_named_with_its_reason(draw: Draw) -> None:
    def missing() -> bytes:
        raise FileNotFoundError(2, "No such file")

    def broken() -> PIL.Image.Image:
        raise SyntaxError("not a\nreal picture")

    image = draw()
    measured = measure(
        [
            Picture("gone.png", None, missing, lambda: image),
            picture(image, "fine.png"),
            Picture("broken.png", None, bytes, broken),
            picture(PIL.Image.new("F", (4, 4)), "float.tif"),
        ]
    )
    assert measured.names == ["fine.png"]
    gone, broken_one, floating = measured.unreadable
    assert gone == ("gone.png", "No such file")
    assert broken_one == ("broken.png", "not a")
    assert floating.name == "float.tif"
    assert "range" in floating.reason


@pytest.mark.parametrize(("limit", "readable"), [(80, 1), (30, 0)])
def test_what_pillow_refuses_is_not_read(
    draw: Draw, monkeypatch, limit: int, readable: int
) -> None:
    """It warns above its limit, and refuses above twice that."""
    buffer = io.BytesIO()
    draw().save(buffer, "PNG")
    monkeypatch.setattr(PIL.Image, "MAX_IMAGE_PIXELS", limit)
    stored = Picture("bomb.png", None, buffer.getvalue, lambda: PIL.Image.open(buffer))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # As the module of picture files does.
        measured = measure([stored])
    assert len(measured.names) == readable
    assert all("decompression bomb" in skipped.reason for skipped in measured.unreadable)


def test_nothing_measures_as_nothing() -> None:
    nothing = measure([])
    assert nothing.names == []
    assert nothing.sizes.shape == (0, 2)
    assert nothing.hashes.shape == nothing.dark_borders.shape == (0,)
    assert nothing.features.shape == (0, 64)
    assert nothing.grey_thumbs.shape == (0, 32, 32)


def test_a_source_is_in_colour_if_most_pictures_are(tmp_path: Path) -> None:
    def source(*colours: str) -> Source:
        folder = tmp_path / "-".join(colours)
        folder.mkdir()
        for number, colour in enumerate(colours):
            PIL.Image.new("RGB", (8, 8), colour).save(folder / f"{number}.png")
        return open_source(str(folder))

    assert is_in_colour(source("red", "white", "blue"))
    assert not is_in_colour(source("red", "white", "black"))
    assert not is_in_colour(open_source("digits"))
    assert is_in_colour(open_source("glyphs:32x100"))
