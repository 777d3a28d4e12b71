"""How far an answer is from a recorded one, by what it holds."""

from __future__ import annotations

import io
import math

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from savedmodels.bounds import CPU_BOUND, GPU_BOUND, choose_bound, distance

PIXELS = np.random.default_rng(0).integers(8, 248, (16, 16, 3), np.uint8)


def strings(*contents: bytes) -> npt.NDArray[np.object_]:
    array = np.empty(len(contents), object)
    array[:] = contents
    return array


def file_of(pixels: npt.NDArray[np.uint8], kind: str) -> bytes:
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, kind)
    return content.getvalue()


@pytest.mark.parametrize(
    ("recorded", "answered", "expected"),
    [
        (np.float32([0.5, -1]), np.float32([0.5, -1]), 0.0),
        (np.float32([0.5, -1]), np.float32([0.75, -1]), 0.25),
        (np.float32([0.5, -8]), np.float32([0.5, -6]), 0.25),
        (np.float16([0.5]), np.float16([0.25]), 0.25),
        (np.float32([math.nan, math.inf, 1]), np.float32([math.nan, math.inf, 1.5]), 0.5),
        (np.float32([math.nan, 1]), np.float32([1, 1]), math.inf),
        (np.float32([1, 1]), np.float32([math.nan, 1]), math.inf),
        (np.float32([math.inf]), np.float32([-math.inf]), math.inf),
        (np.float32([]), np.float32([]), 0.0),
        (np.float32([1]), np.float64([1]), math.inf),
        (np.float32([1]), np.float32([[1]]), math.inf),
        (np.int64([3]), np.int64([3]), 0.0),
        (np.int64([3]), np.int64([4]), math.inf),
        (np.uint8([7, 9]), np.uint8([8, 8]), 0.0),
        (np.uint8([7, 250]), np.uint8([10, 250]), 2 / 127.5),
        (strings(b"a"), strings(b"a"), 0.0),
        (strings(b"a"), strings(b"b"), math.inf),
        (strings(), strings(), 0.0),
    ],
)
def test_numbers_levels_and_words(
    recorded: npt.NDArray[np.generic], answered: npt.NDArray[np.generic], expected: float
) -> None:
    assert distance(recorded, answered) == pytest.approx(expected)


def test_png_files_are_compared_by_their_worst_pixel() -> None:
    off = PIXELS.copy()
    off[3, 4, 1] += 4
    recorded = strings(file_of(PIXELS, "PNG"))
    assert distance(recorded, strings(file_of(PIXELS ^ 1, "PNG"))) == 0.0
    assert distance(recorded, strings(file_of(off, "PNG"))) == pytest.approx(3 / 127.5)


def test_jpeg_files_are_compared_by_the_mean_of_pixels() -> None:
    smooth = np.repeat(np.add.outer(np.arange(64), np.arange(64))[..., None], 3, -1)
    smooth = smooth.astype(np.uint8)
    recorded, off = (strings(file_of(pixels, "JPEG")) for pixels in (smooth, smooth + 4))
    assert distance(recorded, strings(file_of(smooth ^ 1, "JPEG"))) == 0.0
    assert distance(recorded, off) == pytest.approx(3 / 127.5, abs=0.5 / 127.5)


@pytest.mark.parametrize(
    "answered", [file_of(PIXELS[:8], "PNG"), file_of(PIXELS, "JPEG"), b"\x89PNG\r\n\x1a\n..", b""]
)
def test_another_file_is_infinitely_far(answered: bytes) -> None:
    assert distance(strings(file_of(PIXELS, "PNG")), strings(answered)) == math.inf


def test_a_gpu_on_either_side_widens_the_bound() -> None:
    assert choose_bound("", "") == CPU_BOUND
    assert choose_bound("Some GPU", "") == choose_bound("", "Some GPU") == GPU_BOUND
