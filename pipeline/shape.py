"""Shapes of images: which are allowed, where networks start, how names and messages write them.

Families that grow need squares with a power of two; other families also make rectangles.
"""

from __future__ import annotations

from typing import TypeAlias

SMALLEST_SIDE = 4
LARGEST_SIDE = 1024  # Limits of the height and width of images, in pixels.
LARGEST_START = 15
"""Maximum of the shorter side of a network's first feature maps, in pixels. A dense layer connects
all pixels of the maps, so the number of weights grows with the square of each side."""
MOST_ELONGATED = 4  # Maximum of the longer side of an image, as a multiple of the shorter side.
SHAPE_RULE = (
    f"height and width must be from {SMALLEST_SIDE} to {LARGEST_SIDE} px and multiples of one "
    f"power of two, the shorter side {SMALLEST_SIDE} to {LARGEST_START} times it and the longer "
    f"side at most {MOST_ELONGATED} times as long, such as 28x28 or 48x64"
)

Shape: TypeAlias = tuple[int, int]  # Height and width in pixels.


def is_power_of_two(side: int) -> bool:
    """Return true if a side is a power of two within the limits, so that 4 px can grow to it."""
    return SMALLEST_SIDE <= side <= LARGEST_SIDE and not side & (side - 1)


def start_shape(shape: Shape) -> Shape:
    """Return the shape of a network's first feature maps: halve the sides as long as allowed.

    Example:
        >>> start_shape((28, 28)), start_shape((96, 128)), start_shape((64, 64))
        ((7, 7), (6, 8), (4, 4))
    """
    height, width = shape
    while not (height % 2 or width % 2) and min(height, width) >= 2 * SMALLEST_SIDE:
        height, width = height // 2, width // 2
    return height, width


def level_shapes(start: Shape, height: int) -> list[Shape]:
    """List the shapes of a network's blocks, each twice the last, up to images of a height.

    Example:
        >>> level_shapes((6, 8), 24)
        [(6, 8), (12, 16), (24, 32)]
    """
    levels = (height // start[0]).bit_length()
    return [(start[0] << level, start[1] << level) for level in range(levels)]


def is_usable(shape: Shape) -> bool:
    """Return true if networks can make images of a shape: the check of `SHAPE_RULE`."""
    if not (min(shape) >= SMALLEST_SIDE and max(shape) <= LARGEST_SIDE):
        return False
    shorter, longer = sorted(start_shape(shape))
    return shorter <= LARGEST_START and longer <= MOST_ELONGATED * shorter


def shape_name(shape: Shape) -> str:
    """Format a shape for names of files, layers and phases: `48x64`, height first."""
    return "x".join(map(str, shape))


def shape_text(shape: Shape) -> str:
    """Format a shape for messages: `64` for a square, else `48x64`, height first."""
    return str(shape[0]) if shape[0] == shape[1] else shape_name(shape)
