import io

import numpy as np
import PIL.Image
import pytest

from pipeline.data.pictures import reduced, to_square


def crop(picture: PIL.Image.Image, resolution: int = 4, channels: int = 3) -> np.ndarray:
    return to_square(picture, resolution=resolution, channels=channels, fit="crop")


def pad(picture: PIL.Image.Image, resolution: int, channels: int = 1) -> np.ndarray:
    return to_square(picture, resolution=resolution, channels=channels, fit="pad")


def stored(picture: PIL.Image.Image, kind: str, **options: object) -> PIL.Image.Image:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return PIL.Image.open(buffer)


def uniform(mode: str, colour: object) -> PIL.Image.Image:
    return PIL.Image.new(mode, (6, 6), colour)


@pytest.mark.parametrize("fit", ["crop", "pad"])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("mode", ["1", "L", "P", "LA", "RGB", "RGBA", "CMYK", "YCbCr", "I;16"])
@pytest.mark.parametrize("size", [(1, 1), (300, 1), (1, 300), (16, 16), (7, 12)])
def test_any_mode_and_size(fit, channels, mode, size) -> None:
    square = to_square(PIL.Image.new(mode, size), resolution=16, channels=channels, fit=fit)
    assert square.shape == (16, 16, channels)
    assert square.dtype == np.uint8


def test_grey_becomes_rgb_and_back() -> None:
    assert (crop(uniform("L", 77)) == 77).all()
    assert (crop(uniform("RGB", (77, 77, 77)), channels=1) == 77).all()
    assert (crop(uniform("RGB", (255, 0, 0)), channels=1) == round(0.299 * 255)).all()


def test_sixteen_bit_is_scaled() -> None:
    for value in (0, 128, 129, 32768, 65535):
        sixteen = stored(PIL.Image.fromarray(np.full((6, 6), value, np.uint16)), "PNG")
        assert sixteen.mode.startswith("I")
        assert (crop(sixteen) == np.floor(value / 257 + 0.5)).all()


def test_pixels_without_a_range_are_refused() -> None:
    with pytest.raises(ValueError, match="floating-point"):
        crop(uniform("F", 0.5))
    with pytest.raises(ValueError, match="16 bits"):
        crop(uniform("I", 65536))


def test_transparency_is_laid_over_white() -> None:
    assert (crop(uniform("RGBA", (9, 9, 9, 0))) == 255).all()
    assert (crop(uniform("LA", (0, 0)), channels=1) == 255).all()
    half = crop(uniform("RGBA", (0, 255, 0, 128)))
    assert abs(half.astype(int) - [127, 255, 127]).max() <= 1
    palette = PIL.Image.new("P", (6, 6), 1)
    palette.putpalette([0, 0, 0, 200, 100, 50])
    assert (crop(stored(palette, "PNG", transparency=0)) == [200, 100, 50]).all()
    assert (crop(stored(palette, "PNG", transparency=1)) == 255).all()
    assert (crop(stored(palette, "PNG", transparency=b"\xff\x00")) == 255).all()
    assert (crop(stored(uniform("RGB", (1, 2, 3)), "PNG", transparency=(1, 2, 3))) == 255).all()


def test_cmyk_is_converted() -> None:
    cmyk = stored(uniform("CMYK", (0, 255, 255, 0)), "JPEG")
    assert cmyk.mode == "CMYK"
    assert abs(crop(cmyk).astype(int) - [255, 0, 0]).max() <= 3


def test_exif_orientation_is_applied() -> None:
    values = np.random.default_rng(0).integers(0, 256, (8, 8), np.uint8)
    exif = PIL.Image.Exif()
    exif[0x0112] = 6  # the camera lay on its side: show turned clockwise by 90 degrees
    turned = stored(PIL.Image.fromarray(values), "PNG", exif=exif)
    assert (crop(turned, 8, 1)[..., 0] == np.rot90(values, -1)).all()


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
def test_reduced_is_the_mean_rounded_half_up(channels: int) -> None:
    square = np.random.default_rng(0).integers(0, 256, (32, 32, channels), np.uint8)
    for resolution in (32, 16, 8, 4):
        factor = 32 // resolution
        expected = np.zeros((resolution, resolution, channels))
        for row in range(factor):
            for column in range(factor):
                expected += square[row::factor, column::factor]
        expected = np.floor(expected / factor**2 + 0.5)
        assert (reduced(square, resolution) == expected).all()


def test_reduced_rounds_once_and_does_not_overflow() -> None:
    halves = np.tile(np.array([[0, 1], [1, 0]], np.uint8), (2, 2))[..., None]
    assert (reduced(halves, 2) == 1).all()
    # Rounding after each halving would give 1 here.
    lone = np.zeros((4, 4, 1), np.uint8)
    lone[0, :2] = lone[2, 0] = lone[0, 2] = lone[1, 2] = lone[2, 2] = lone[3, 2] = 1
    assert reduced(lone, 1) == 0
    assert reduced(np.full((1024, 1024, 1), 255, np.uint8), 4).min() == 255


def test_mnist_gets_two_pixels_of_border(shared_folder) -> None:
    from pipeline.data.sources import open_source

    source = open_source(str(shared_folder / "data/mnist/t10k-images-idx3-ubyte.gz"))
    for _, picture in zip(range(50), source, strict=False):
        square = pad(picture.read(), 32)[..., 0]
        assert (square[2:30, 2:30] == np.asarray(picture.read())).all()
        assert square.sum() == np.asarray(picture.read()).sum()
