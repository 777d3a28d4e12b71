import io
import struct
import zlib

import numpy as np
import PIL.Image
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.data.formats import eight_bit, upright_eight_bit

MODES = sorted(set(PIL.Image.MODES) - {"F", "LAB", "La"})


def stored(picture: PIL.Image.Image, kind: str, **options: object) -> PIL.Image.Image:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return PIL.Image.open(buffer)


def pixels(picture: PIL.Image.Image, channels: int = 3) -> np.ndarray:
    plain = upright_eight_bit(picture, channels)
    assert plain.mode == ("L" if channels == 1 else "RGB")
    return np.asarray(plain)


def png(depth: int, colour_type: int, rows: bytes, *chunks: tuple[bytes, bytes]) -> PIL.Image.Image:
    """A PNG of two pixels side by side, of a kind that Pillow does not write."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        checksum = zlib.crc32(kind + content)
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)

    header = struct.pack(">IIBBBBB", 2, 1, depth, colour_type, 0, 0, 0)
    body = [(b"IHDR", header), *chunks, (b"IDAT", zlib.compress(b"\0" + rows)), (b"IEND", b"")]
    return PIL.Image.open(io.BytesIO(b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*c) for c in body)))


GREY = np.random.default_rng(0).integers(0, 256, (9, 7), np.uint8)
RGB = np.random.default_rng(1).integers(0, 256, (9, 7, 3), np.uint8)


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("PNG", {}),
        ("BMP", {}),
        ("PPM", {}),
        ("WEBP", {"lossless": True}),
        ("TIFF", {}),
        ("TIFF", {"compression": "tiff_lzw"}),
        ("TIFF", {"compression": "tiff_adobe_deflate"}),
        ("TGA", {}),
        ("DIB", {}),
        ("JPEG2000", {"irreversible": False}),
    ],
)
def test_formats_without_loss_give_the_pixels_of_the_source(kind: str, options: dict) -> None:
    assert (pixels(stored(PIL.Image.fromarray(RGB), kind, **options)) == RGB).all()
    grey = stored(PIL.Image.fromarray(GREY), kind, **options)
    assert (pixels(grey, 1) == GREY).all()
    assert (pixels(grey) == GREY[..., None]).all()


@pytest.mark.parametrize("kind", ["GIF", "PNG", "BMP", "TIFF"])
def test_palettes_give_their_colours(kind: str) -> None:
    few = PIL.Image.fromarray(RGB // 86 * 86).quantize(27, dither=PIL.Image.Dither.NONE)
    expected = np.asarray(few.convert("RGB"))
    assert (pixels(stored(few, kind)) == expected).all()
    assert len(np.unique(expected.reshape(-1, 3), axis=0)) > 10


@pytest.mark.parametrize(
    ("kind", "options"), [("JPEG", {"quality": 100, "subsampling": 0}), ("WEBP", {"quality": 100})]
)
def test_formats_with_loss_come_near(kind: str, options: dict) -> None:
    ramp = np.add.outer(np.arange(0, 160, 10), np.arange(0, 64, 4)).astype(np.uint8)
    found = pixels(stored(PIL.Image.fromarray(ramp), kind, **options), 1)
    assert abs(found.astype(int) - ramp).max() <= 3
    ramps = np.stack([ramp, ramp // 2, ramp // 2 + 50], axis=-1)
    found = pixels(stored(PIL.Image.fromarray(ramps), kind, **options))
    assert abs(found.astype(int) - ramps).max() <= 6


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "TIFF"])
def test_of_several_frames_the_first_counts(kind: str) -> None:
    first, second = (PIL.Image.new("RGB", (6, 6), colour) for colour in ("red", "blue"))
    options = {"lossless": True} if kind == "WEBP" else {}
    frames = stored(first, kind, save_all=True, append_images=[second], **options)
    assert frames.n_frames == 2
    assert (pixels(frames) == [255, 0, 0]).all()


def test_one_bit_is_black_and_white() -> None:
    bits = GREY > 127
    for kind in ("PNG", "BMP", "TIFF", "PPM"):
        picture = stored(PIL.Image.fromarray(bits), kind)
        assert picture.mode == "1"
        assert (pixels(picture, 1) == bits * 255).all()


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "PPM"])
def test_sixteen_bit_grey_is_divided_by_257(kind: str) -> None:
    values = np.array([[0, 128, 129, 385, 386, 32768, 65406, 65535]], np.uint16)
    picture = stored(PIL.Image.fromarray(values), kind)
    assert picture.mode.startswith("I")
    assert (pixels(picture, 1) == np.floor(values / 257 + 0.5)).all()
    assert (pixels(picture) == np.floor(values / 257 + 0.5)[..., None]).all()


def test_any_byte_order_and_width_of_whole_numbers() -> None:
    values = np.array([[0, 1000, 65535]])
    for dtype in ("<u2", ">u2", "<i4"):
        picture = stored(PIL.Image.fromarray(values.astype(dtype)), "TIFF")
        assert (pixels(picture, 1) == [[0, 4, 255]]).all()
    for outside in (-1, 65536):
        with pytest.raises(ValueError, match="within 16 bits"):
            pixels(stored(PIL.Image.fromarray(np.array([[0, outside]], np.int32)), "TIFF"))


def test_eight_bit_is_exact() -> None:
    values = np.arange(65536, dtype=np.uint16)
    assert (eight_bit(values) == np.floor(values / 257 + 0.5)).all()
    assert (eight_bit(np.arange(256) * 257) == np.arange(256)).all()


def test_of_sixteen_bit_colour_the_high_byte_counts() -> None:
    colour = png(16, 2, struct.pack(">6H", 0x00FF, 0x80FF, 0xFFFF, 0x0100, 0x7F00, 0xFF00))
    assert pixels(colour).tolist() == [[[0, 128, 255], [1, 127, 255]]]
    grey = png(16, 4, struct.pack(">4H", 0x80FF, 0xFFFF, 0x1234, 0x0000))
    assert pixels(grey, 1).tolist() == [[128, 255]]
    rgba = png(16, 6, struct.pack(">8H", 0x00FF, 0x80FF, 0xFFFF, 0xFFFF, 1, 2, 3, 0))
    assert pixels(rgba).tolist() == [[[0, 128, 255], [255, 255, 255]]]


def test_alpha_is_laid_over_white() -> None:
    alpha = np.random.default_rng(2).integers(0, 256, (9, 7, 1), np.uint8)
    expected = (RGB * (alpha / 255)) + 255 * (1 - alpha / 255)
    for kind, options in (("PNG", {}), ("TIFF", {}), ("WEBP", {"lossless": True, "exact": True})):
        picture = PIL.Image.fromarray(np.concatenate([RGB, alpha], axis=-1))
        assert abs(pixels(stored(picture, kind, **options)) - expected).max() <= 1
    grey = PIL.Image.merge("LA", [PIL.Image.fromarray(GREY), PIL.Image.fromarray(alpha[..., 0])])
    expected = GREY * (alpha[..., 0] / 255) + 255 * (1 - alpha[..., 0] / 255)
    assert abs(pixels(stored(grey, "PNG"), 1) - expected).max() <= 1


def test_a_transparent_colour_is_white() -> None:
    key = struct.pack(">H", 5)
    assert pixels(png(8, 0, b"\x05\x09", (b"tRNS", key)), 1).tolist() == [[255, 9]]
    black = (b"tRNS", struct.pack(">H", 0))
    assert pixels(png(1, 0, b"\x40", black), 1).tolist() == [[255, 255]]
    # As the rule says, at other depths Pillow passes it over.
    assert pixels(png(16, 0, struct.pack(">2H", 5, 514), (b"tRNS", key)), 1).tolist() == [[0, 2]]
    palette = (b"PLTE", bytes([9, 9, 9, 7, 7, 7]))
    half = png(8, 3, b"\x00\x01", palette, (b"tRNS", b"\x80"))
    assert abs(pixels(half, 1).astype(int) - [[132, 7]]).max() <= 1
    hole = PIL.Image.fromarray(np.array([[0, 1]], np.uint8))
    hole.putpalette([200, 100, 50, 1, 2, 3])
    gif = stored(hole, "GIF", transparency=1)
    assert pixels(gif).tolist() == [[[200, 100, 50], [255, 255, 255]]]


def test_cmyk_is_ink_on_white() -> None:
    inks = np.random.default_rng(3).integers(0, 256, (9, 7, 4), np.uint8)
    ink, black = inks[..., :3].astype(float), inks[..., 3:].astype(float)
    expected = (255 - ink) * (255 - black) / 255
    picture = PIL.Image.fromarray(inks, "CMYK")
    assert abs(pixels(stored(picture, "TIFF")) - expected).max() <= 1
    # JPEG keeps CMYK inverted, as Adobe does, and says so.
    jpeg = stored(PIL.Image.new("CMYK", (16, 16), (0, 255, 128, 51)), "JPEG", quality=100)
    assert jpeg.mode == "CMYK"
    assert "adobe" in jpeg.info
    assert abs(pixels(jpeg).astype(int) - [204, 0, 102]).max() <= 2


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(("kind", "mode"), [("PNG", "L"), ("TIFF", "RGB"), ("PNG", "I;16")])
def test_exif_orientation_is_applied(kind: str, mode: str, orientation: int) -> None:
    grid = np.arange(6, dtype=np.uint8).reshape(2, 3) * 40
    shown = {
        1: grid,
        2: grid[:, ::-1],
        3: grid[::-1, ::-1],
        4: grid[::-1],
        5: grid.T,
        6: np.rot90(grid, -1),
        7: grid[::-1, ::-1].T,
        8: np.rot90(grid),
    }[orientation]
    values = grid.astype(np.uint16) * 257 if mode == "I;16" else grid
    picture = PIL.Image.fromarray(values)
    exif = PIL.Image.Exif()
    exif[0x0112] = orientation
    turned = stored(picture if mode == "I;16" else picture.convert(mode), kind, exif=exif)
    assert (pixels(turned, 1) == shown).all()


CUT_OFF = (b"\0\x08\0\x02\x01\x12\0\x03",)
RAW_PROFILE = b"Raw profile type exif\0\nexif\n      12\nzzzz\n"


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
@pytest.mark.parametrize(
    "exif", [b"\0\x08\0\x02\x01\x12\0\x03", b"", b"MM\0*", b"II*\0\xff\xff\xff\xff"]
)
@pytest.mark.parametrize("kind", ["PNG", "WEBP", "JPEG"])
def test_damaged_exif_does_no_harm_to_pixels(kind: str, exif: bytes) -> None:
    options: dict = {"lossless": True} if kind == "WEBP" else {"quality": 95}
    plain = PIL.Image.new("RGB", (16, 8), (200, 100, 50))
    picture = stored(plain, kind, exif=b"Exif\0\0" + exif, **options)
    assert abs(pixels(picture).astype(int) - pixels(plain)).max() <= 3


def test_a_damaged_profile_in_a_png_does_no_harm_to_pixels() -> None:
    for chunk in ((b"eXIf", *CUT_OFF), (b"tEXt", RAW_PROFILE)):
        assert pixels(png(8, 0, bytes([7, 200]), chunk), 1).tolist() == [[7, 200]]


@pytest.mark.parametrize("orientation", [1, 6])
def test_of_16_bits_as_of_8_zero_is_white_where_a_tiff_says_so(orientation: int) -> None:
    values = np.array([[0, 257, 65535]], np.uint16)
    for array, kind in ((values, "I;16"), ((values // 257).astype(np.uint8), "L")):
        buffer = io.BytesIO()
        exif = PIL.Image.Exif()
        exif[0x0112] = orientation
        PIL.Image.fromarray(array).save(buffer, "TIFF", exif=exif)
        content = bytearray(buffer.getvalue())
        [at] = struct.unpack_from("<I", content, 4)
        [count] = struct.unpack_from("<H", content, at)
        for entry in range(at + 2, at + 2 + 12 * count, 12):
            if struct.unpack_from("<H", content, entry) == (262,):  # PhotometricInterpretation
                struct.pack_into("<H", content, entry + 8, 0)
        negative = PIL.Image.open(io.BytesIO(content))
        assert negative.mode == kind
        assert pixels(negative, 1).ravel().tolist() == [255, 254, 0]


def test_grey_becomes_rgb_and_rgb_luma() -> None:
    assert (pixels(PIL.Image.fromarray(GREY)) == GREY[..., None]).all()
    luma = RGB @ np.array([0.299, 0.587, 0.114])
    assert abs(pixels(PIL.Image.fromarray(RGB), 1) - luma).max() < 0.51


def test_what_has_no_stated_conversion_is_refused() -> None:
    with pytest.raises(ValueError, match="floating-point"):
        upright_eight_bit(PIL.Image.new("F", (2, 2)), 3)
    for mode in ("LAB", "La"):
        with pytest.raises(ValueError, match=f"mode {mode} have no stated conversion"):
            upright_eight_bit(PIL.Image.new(mode, (2, 2)), 1)


sides = st.one_of(st.integers(1, 9), st.just(1), st.sampled_from([255, 256, 2000]))


@given(
    mode=st.sampled_from(MODES),
    width=sides,
    height=st.integers(1, 9),
    standing=st.booleans(),
    orientation=st.sampled_from([None, 0, 1, 6, 8, 9]),
    channels=st.sampled_from([1, 3]),
    seed=st.integers(0, 2**32 - 1),
)
def test_every_picture_becomes_bytes_of_its_size(
    mode, width, height, standing, orientation, channels, seed
) -> None:
    size = (height, width) if standing else (width, height)
    blank = PIL.Image.new(mode, size)
    content = np.random.default_rng(seed).bytes(len(blank.tobytes()))
    if mode == "I":
        content = np.frombuffer(content, np.uint32) & 0xFFFF
        content = content.astype(np.uint32).tobytes()
    picture = PIL.Image.frombytes(mode, size, content)
    before = picture.tobytes()
    if orientation is not None:
        picture.getexif()[0x0112] = orientation
    plain = upright_eight_bit(picture, channels)
    assert plain.mode == ("L" if channels == 1 else "RGB")
    assert plain.size == (size[::-1] if orientation in (6, 8) else size)
    assert np.asarray(plain).dtype == np.uint8
    # The picture itself is left as it was.
    assert (picture.mode, picture.size, picture.tobytes()) == (mode, size, before)
    if mode == "L" and channels == 1 and orientation not in (6, 8):
        assert plain.tobytes() == before
