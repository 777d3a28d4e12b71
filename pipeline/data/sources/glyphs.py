"""Source of synthetic pictures: letters and digits in matplotlib's fonts, drawn at any size."""

from __future__ import annotations

import colorsys
import math
import re
import string
from dataclasses import astuple, dataclass
from functools import lru_cache, partial
from pathlib import Path

import matplotlib
import numpy as np
import PIL
import PIL.Image
import PIL.ImageDraw
import PIL.ImageFont

from pipeline.data.sources.source import Source
from pipeline.errors import UserError

Colour = tuple[int, int, int]

CHARACTERS = string.digits + string.ascii_uppercase + string.ascii_lowercase
FONTS = (
    "DejaVuSans", "DejaVuSans-Bold", "DejaVuSans-BoldOblique", "DejaVuSans-Oblique",
    "DejaVuSansMono", "DejaVuSansMono-Bold", "DejaVuSansMono-BoldOblique", "DejaVuSansMono-Oblique",
    "DejaVuSerif", "DejaVuSerif-Bold", "DejaVuSerif-BoldItalic", "DejaVuSerif-Italic",
    "STIXGeneral", "STIXGeneralBol", "STIXGeneralBolIta", "STIXGeneralItalic",
    "cmb10", "cmr10", "cmss10", "cmti10", "cmtt10",
)  # fmt: skip
"""Fonts of matplotlib that have every character in its usual form."""

SIZE, SMALLEST_SIZE, LARGEST_SIZE = 64, 8, 1024
"""Default, minimum and maximum side of a picture, in pixels."""
COUNT, LARGEST_COUNT = 10_000, 10_000_000  # Default and maximum number of pictures.
SUPERSAMPLING = 2  # Factor by which a picture is drawn larger and then reduced, for smooth edges.
DRAWING_VERSION = 1
"""Version of the drawing, to raise when pixels change; part of the content hash."""
MARGIN = 1 / 16  # Empty margin at each edge, as a fraction of the picture's side.


@dataclass(frozen=True)
class Style:
    """Random choices that define one picture, the same at every size."""

    character: str
    font: str
    em: float
    """Font size as a fraction of the picture's side; reduced if the character would not fit."""
    stroke: float
    """Width added to the character's outline on each side, as a fraction of the font size."""
    angle: float  # Rotation in degrees, anticlockwise.
    across: float  # Horizontal position within the margins, from 0 at the left to 1 at the right.
    down: float  # Vertical position within the margins, from 0 at the top to 1 at the bottom.
    ink: Colour  # Colour of the character.
    paper: Colour  # Colour of the background.


def open_glyphs(spec: str = "") -> Source:
    """Open RGB pictures of one character each, labelled with it.

    Font, size, weight, rotation, position and both colours vary at random, but depend only on the
    picture's number. Characters are never cut off; one colour is light and the other dark. `spec`
    is `SIZE` or `SIZExCOUNT`; empty for 64 pixels and 10,000 pictures.

    Raises:
        UserError: if the size is not 8 to 1024 pixels or the count not 1 to 10,000,000.
    """
    match = re.fullmatch(r"(\d{1,4})(?:x(\d{1,8}))?", spec or str(SIZE))
    size, count = (int(match[1]), int(match[2] or COUNT)) if match else (0, 0)
    if not SMALLEST_SIZE <= size <= LARGEST_SIZE or not 1 <= count <= LARGEST_COUNT:
        raise UserError(
            f"`glyphs:SIZExCOUNT` must be {SMALLEST_SIZE} to {LARGEST_SIZE} pixels and 1 to "
            f"{LARGEST_COUNT} pictures. Received: 'glyphs:{spec}'"
        )
    # Take the characters in turn, so that classes are balanced even in the first part of the set.
    labels = np.arange(count, dtype=np.int64) % len(CHARACTERS)
    content, read = partial(_content, size), partial(draw, size)
    return Source(f"glyphs-{size}", count, content, read, tuple(CHARACTERS), labels)


def style_of(number: int) -> Style:
    """Choose the style of picture `number` at random, with the number as the seed."""
    # Seed with nothing else: a longer set then begins with the pictures of a shorter one, and sets
    # of two resolutions show the same pictures.
    random = np.random.default_rng(number)
    # Choose a dark and a light colour, so that every character is legible.
    ink, paper = _dark(*random.random(3)), _light(*random.random(3))
    if random.random() < 0.5:
        ink, paper = paper, ink
    return Style(
        character=CHARACTERS[number % len(CHARACTERS)],
        font=FONTS[random.integers(len(FONTS))],
        em=random.uniform(0.7, 0.95),
        # Clip at 0, because Pillow cannot make a character thinner: half keep the font's weight.
        stroke=max(0.0, random.uniform(-0.03, 0.03)),
        angle=random.uniform(-20, 20),
        across=random.random(),
        down=random.random(),
        ink=ink,
        paper=paper,
    )


def draw(size: int, number: int) -> PIL.Image.Image:
    """Draw picture `number` with a side of `size` pixels."""
    style = style_of(number)
    side = size * SUPERSAMPLING
    glyph = _glyph(style, side)
    turn = math.radians(style.angle)
    cosine, sine = math.cos(turn), math.sin(turn)
    # Compute width and height of the rotated glyph's bounding box.
    bounds = np.array([[cosine, abs(sine)], [abs(sine), cosine]]) @ glyph.size
    free = side * (1 - 2 * MARGIN)
    scale = min(style.em, *(free / bounds))
    position = np.array([style.across, style.down])
    centre = side * MARGIN + scale * bounds / 2 + position * (free - scale * bounds)
    # Invert rotation and scale: Pillow's transform maps points of the result back to the glyph.
    inverse = np.array([[cosine, -sine], [sine, cosine]]) / scale
    offset = np.array(glyph.size) / 2 - inverse @ centre
    mask = glyph.transform(
        (side, side),
        PIL.Image.Transform.AFFINE,
        tuple(np.column_stack([inverse, offset]).ravel()),
        PIL.Image.Resampling.BICUBIC,
    ).reduce(SUPERSAMPLING)
    paper, ink = (PIL.Image.new("RGB", mask.size, colour) for colour in (style.paper, style.ink))
    return PIL.Image.composite(ink, paper, mask)


def _glyph(style: Style, em: int) -> PIL.Image.Image:
    """Draw the character upright, in white on black, at `em` pixels and a margin of one pixel."""
    font = font_of(style.font, em)
    stroke = style.stroke * em
    left, top, right, bottom = font.getbbox(style.character, stroke_width=stroke, anchor="ls")
    box = math.floor(left) - 1, math.floor(top) - 1, math.ceil(right) + 1, math.ceil(bottom) + 1
    glyph = PIL.Image.new("L", (box[2] - box[0], box[3] - box[1]))
    PIL.ImageDraw.Draw(glyph).text(
        (-box[0], -box[1]), style.character, 255, font, anchor="ls", stroke_width=stroke
    )
    return glyph


@lru_cache(len(FONTS))
def font_of(name: str, em: int) -> PIL.ImageFont.FreeTypeFont:
    """Load one of `FONTS` at a size of `em` pixels."""
    file = Path(matplotlib.get_data_path(), "fonts", "ttf", f"{name}.ttf")
    # Fix the layout engine, because another one would place characters differently.
    return PIL.ImageFont.truetype(file, em, layout_engine=PIL.ImageFont.Layout.BASIC)


def _dark(hue: float, saturation: float, value: float) -> Colour:
    return _rgb(hue, 0.3 + 0.7 * saturation, 0.1 + 0.35 * value)


def _light(hue: float, saturation: float, value: float) -> Colour:
    return _rgb(hue, 0.35 * saturation, 0.85 + 0.15 * value)


def _rgb(hue: float, saturation: float, value: float) -> Colour:
    red, green, blue = (round(255 * part) for part in colorsys.hsv_to_rgb(hue, saturation, value))
    return red, green, blue


def _content(size: int, number: int) -> bytes:
    # Hash the versions too: another version of a library may draw other pixels.
    versions = matplotlib.__version__, np.__version__, PIL.__version__
    return repr((DRAWING_VERSION, size, astuple(style_of(number)), versions)).encode()
