"""Frames of videos: every one, in any order, from any thread, damaged ones named."""

import struct
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from pipeline.data.sources import open_source


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


def test_every_tenth_frame(video: Path, refusal) -> None:
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


def test_what_is_no_video_is_refused(tmp_path: Path, refusal) -> None:
    pytest.importorskip("av")
    for name, content in (("text.mp4", "no video"), ("empty.avi", "")):
        (tmp_path / name).write_text(content)
        assert f"{name} (Invalid data found when processing input)" in refusal(tmp_path / name)
    assert "does not exist" in refusal(tmp_path / "gone.mp4")


def test_a_video_without_frames_is_refused(tmp_path: Path, refusal) -> None:
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
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refusal
) -> None:
    (tmp_path / "clip.mp4").touch()
    monkeypatch.setitem(sys.modules, "av", None)
    assert "pip install 'growgan[video]'" in refusal(tmp_path / "clip.mp4")
