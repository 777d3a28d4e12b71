"""Drawn glyphs: balanced, legible, and functions of their number alone."""

import hashlib
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.data.sources import open_source


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
def test_glyphs_out_of_range_are_refused(spec: str, refusal) -> None:
    assert f"Received: 'glyphs:{spec}'" in refusal(f"glyphs:{spec}")


@pytest.mark.new_interpreter
def test_glyphs_depend_on_their_number_alone(pytestconfig: pytest.Config) -> None:
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
    root = pytestconfig.rootpath
    other = subprocess.run(command, cwd=root, check=True, capture_output=True, text=True)
    assert other.stdout.strip() == hashlib.sha256(b"".join(first)).hexdigest()


def test_glyphs_of_two_sizes_show_the_same() -> None:
    sets = [list(open_source(f"glyphs:{size}x62")) for size in (256, 64)]
    large = [np.asarray(picture.read().reduce(4).convert("L")).ravel() for picture in sets[0]]
    small = [np.asarray(picture.read().convert("L")).ravel() for picture in sets[1]]
    alike = abs(np.corrcoef(large, small)[:62, 62:])
    assert alike.diagonal().min() > 0.9
    assert (alike.argmax(axis=1) == np.arange(62)).all()


def test_every_font_holds_every_character() -> None:
    from pipeline.data.sources.glyphs import CHARACTERS, FONTS, font_of

    for name in FONTS:
        font = font_of(name, 40)
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
    assert share.max() > {8: 0.3, 16: 0.5}.get(size, 0.9)
    assert 0.01 < share.mean() < 0.6
