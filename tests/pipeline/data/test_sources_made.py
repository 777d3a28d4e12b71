"""Pictures that are made when they are read: drawn glyphs, and frames of videos."""

import hashlib
import struct
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import PIL.Image
import PIL.ImageFont
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.data.sources import open_source
from pipeline.errors import UserError

ROOT = Path(__file__).parents[3]


def refusal(spec: object) -> str:
    with pytest.raises(UserError) as caught:
        open_source(str(spec))
    assert "\n" not in str(caught.value)
    assert "Received: " in str(caught.value)
    return str(caught.value)


# Glyphs -----------------------------------------------------------------------------------------


def test_glyphs() -> None:
    from pipeline.data.sources.glyphs import CHARACTERS

    source = open_source("glyphs")
    assert (source.name, len(source)) == ("glyphs-64", 10_000)
    assert "".join(source.classes) == CHARACTERS == "".join(sorted(CHARACTERS))
    assert len(source.classes) == 62
    pictures = list(source)
    counts = np.bincount([picture.label for picture in pictures])
    assert counts.max() - counts.min() <= 1
    assert (pictures[0].read().mode, pictures[0].read().size) == ("RGB", (64, 64))
    assert len({picture.content() for picture in pictures}) == 10_000


@pytest.mark.parametrize(
    ("spec", "size", "count"),
    [("glyphs:128", 128, 10_000), ("glyphs:32x70", 32, 70), ("glyphs:8x1", 8, 1)],
)
def test_glyphs_of_any_size_and_count(spec: str, size: int, count: int) -> None:
    source = open_source(spec)
    assert len(source) == count
    assert next(iter(source)).read().size == (size, size)


@pytest.mark.parametrize("spec", ["7", "1025", "64x0", "64x10000001", "x5", "64x", "big", "-64"])
def test_glyphs_out_of_range_are_refused(spec: str) -> None:
    assert f"Received: 'glyphs:{spec}'" in refusal(f"glyphs:{spec}")


def test_glyphs_depend_on_their_number_alone() -> None:
    first = [picture.read().tobytes() for picture in open_source("glyphs:16x80")]
    assert len(set(first)) == 80
    *_, backwards = [p.read().tobytes() for p in reversed(list(open_source("glyphs:16x90")))]
    assert backwards == first[0]
    code = (
        "import hashlib; from pipeline.data.sources import open_source; "
        "content = b''.join(p.read().tobytes() for p in open_source('glyphs:16x80')); "
        "print(hashlib.sha256(content).hexdigest())"
    )
    command = [sys.executable, "-c", code]
    other = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    assert other.stdout.strip() == hashlib.sha256(b"".join(first)).hexdigest()


def test_glyphs_of_two_sizes_show_the_same() -> None:
    sets = [list(open_source(f"glyphs:{size}x62")) for size in (256, 64)]
    large = [np.asarray(picture.read().reduce(4).convert("L")).ravel() for picture in sets[0]]
    small = [np.asarray(picture.read().convert("L")).ravel() for picture in sets[1]]
    alike = abs(np.corrcoef(large, small)[:62, 62:])
    assert alike.diagonal().min() > 0.9
    assert (alike.argmax(axis=1) == np.arange(62)).all()


def test_every_font_holds_every_character() -> None:
    from pipeline.data.sources.glyphs import CHARACTERS, FONTS, _font

    for name in FONTS:
        font = _font(name, 40)
        missing = font.getmask("\uffff")
        masks = {character: font.getmask(character) for character in CHARACTERS}
        assert all(bytes(mask) != bytes(missing) for mask in masks.values())
        assert all(mask.getbbox() is not None for mask in masks.values())
        # Letters may look alike, but few of them.
        assert len({(mask.size, bytes(mask)) for mask in masks.values()}) >= 61


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 9_999_999), st.sampled_from([8, 16, 33, 64, 128]))
def test_no_glyph_is_clipped_and_each_is_legible(number: int, size: int) -> None:
    from pipeline.data.sources.glyphs import CHARACTERS, draw, style_of

    style = style_of(number)
    assert style.character == CHARACTERS[number % 62]
    pixels = np.asarray(draw(size, number)).astype(int)
    paper, ink = np.array(style.paper), np.array(style.ink)
    edge = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    assert (edge == paper).all() or size == 8
    luma = np.array([0.299, 0.587, 0.114])
    assert abs((ink - paper) @ luma) > 60
    # How much of the character's colour is where.
    share = ((pixels - paper) @ luma) / ((ink - paper) @ luma)
    assert share.max() > (0.9 if size >= 32 else 0.4)
    assert 0.01 < share.mean() < 0.6


# Videos -----------------------------------------------------------------------------------------


def write_video(path: Path, codec: str, frames: int = 30, group: int = 8) -> Path:
    """Write a video whose frame n is of the grey 8 n, white in its left half."""
    av = pytest.importorskip("av")
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = 48, 32, "yuv420p"
        stream.codec_context.gop_size = group
        stream.bit_rate = 4_000_000
        for number in range(frames):
            values = np.full((32, 48, 3), 8 * number, np.uint8)
            values[:, :24] = 255
            frame = av.VideoFrame.from_ndarray(values, format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def numbers(pictures: list[PIL.Image.Image]) -> list[int]:
    return [round(np.asarray(picture)[:, 40].mean() / 8) for picture in pictures]


@pytest.fixture
def video(tmp_path: Path) -> Path:
    return write_video(tmp_path / "clip.mp4", "mpeg4")


@pytest.mark.parametrize(
    ("suffix", "codec"),
    [
        ("mp4", "libx264"),
        ("mkv", "libx264"),
        ("webm", "libvpx-vp9"),
        ("avi", "mpeg4"),
        ("mov", "mpeg4"),
    ],
)
def test_every_frame_of_a_video(tmp_path: Path, suffix: str, codec: str) -> None:
    source = open_source(str(write_video(tmp_path / f"clip.{suffix}", codec)))
    assert (source.name, source.classes, len(source)) == ("clip", (), 30)
    pictures = list(source)
    in_order = [picture.read() for picture in pictures]
    assert numbers(in_order) == list(range(30))
    assert {picture.size for picture in in_order} == {(48, 32)}
    order = np.random.default_rng(0).permutation(30)
    assert all(pictures[n].read().tobytes() == in_order[n].tobytes() for n in order)
    assert pictures[3].content() == in_order[3].tobytes()


def test_every_tenth_frame(video: Path) -> None:
    source = open_source(f"{video}:10")
    assert numbers([picture.read() for picture in source]) == [0, 10, 20]
    for wrong in ("0", "-1", "x", "1.5"):
        assert f"clip.mp4:{wrong}" in refusal(f"{video}:{wrong}")


def test_frames_are_the_same_from_several_threads(video: Path) -> None:
    pictures = list(open_source(str(video)))
    with ThreadPoolExecutor(4) as pool:
        read = list(pool.map(lambda picture: picture.read(), pictures * 2))
    assert numbers(read) == [*range(30), *range(30)]


@pytest.mark.parametrize("turn", [0, 90, 180, 270])
def test_a_video_filmed_on_its_side_is_upright(video: Path, turn: int) -> None:
    one, none = struct.pack(">i", 1 << 16), struct.pack(">i", 0)
    minus, last = struct.pack(">i", -1 << 16), struct.pack(">i", 1 << 30)
    upright = b"".join([one, none, none, none, one, none, none, none, last])
    a, b, c, d = {
        0: (one, none, none, one),
        90: (none, one, minus, none),
        180: (minus, none, none, minus),
        270: (none, minus, one, none),
    }[turn]
    turned = b"".join([a, b, none, c, d, none, none, none, last])
    plain = np.asarray(next(iter(open_source(str(video)))).read())
    before, header, after = video.read_bytes().partition(b"tkhd")
    video.write_bytes(before + header + after.replace(upright, turned, 1))
    found = np.asarray(next(iter(open_source(str(video)))).read())
    # The matrix of QuickTime turns clockwise.
    assert (found == np.rot90(plain, -turn // 90)).all()


def test_what_is_no_video_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("av")
    for name, content in (("text.mp4", "no video"), ("empty.avi", "")):
        (tmp_path / name).write_text(content)
        assert f"{name} (Invalid data found when processing input)" in refusal(tmp_path / name)
    assert "does not exist" in refusal(tmp_path / "gone.mp4")


def test_a_video_without_frames_is_refused(tmp_path: Path) -> None:
    av = pytest.importorskip("av")
    with av.open(str(tmp_path / "sound.mkv"), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000, layout="mono")
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), "s16", "mono")
        sound.sample_rate = 8000
        container.mux(stream.encode(sound))
    assert "with none" in refusal(tmp_path / "sound.mkv")


def test_damaged_frames_raise_os_error(tmp_path: Path) -> None:
    path = write_video(tmp_path / "clip.mp4", "libx264")
    whole = path.read_bytes()
    middle = len(whole) // 3
    path.write_bytes(whole[:middle] + bytes(range(200)) + whole[middle + 200 :])
    found: list[int | None] = []
    for picture in open_source(str(path)):
        try:
            found += numbers([picture.read()])
        except OSError as error:
            found.append(None)
            message = str(error)
    assert message == "Invalid data found when processing input"
    assert found[0] == 0
    assert found[-1] == 29
    # Key frames after the damaged ones are found, and every frame after those.
    assert all(frame in (None, number) for number, frame in enumerate(found))
    assert 1 <= found.count(None) < 20


def test_a_video_that_vanishes_raises_os_error(video: Path) -> None:
    first, *_ = open_source(str(video))
    video.unlink()
    with pytest.raises(OSError, match="No such file"):
        first.read()


def test_a_video_without_the_package_says_how_to_install_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "clip.mp4").touch()
    monkeypatch.setitem(sys.modules, "av", None)
    assert "pip install 'growgan[video]'" in refusal(tmp_path / "clip.mp4")
