"""Source of pictures in one array, in memory or mapped from a file."""

from __future__ import annotations

from functools import partial

import numpy as np
import numpy.typing as npt
import PIL.Image

from pipeline.data.formats import eight_bit
from pipeline.data.sources.labels import class_names
from pipeline.data.sources.source import Source

Images = npt.NDArray[np.uint8] | npt.NDArray[np.uint16]
Values = npt.NDArray[np.integer] | npt.NDArray[np.str_]


def arrays_source(
    name: str, images: Images, values: Values | None, classes: tuple[str, ...] | None = None
) -> Source:
    """Make a source of the pictures in an array.

    Args:
        name: Short name of the source.
        images: Pictures, uint8 or uint16, (count, height, width) or (count, height, width, 1, 3 or
            4), where 4 channels are RGBA. A mapped array is read picture by picture.
        values: Labels (count,), or None for an unlabelled source.
        classes: Names of the classes if `values` are indices into them; None if `values` are the
            classes themselves.
    """
    if values is None:
        classes, labels = (), None
    elif classes is None:
        distinct, inverse = np.unique(values, return_inverse=True)
        texts = [str(value) for value in distinct]
        classes = class_names(texts)
        # By text: sorted as numbers, classes are in another order than NumPy's distinct values.
        labels = np.array([classes.index(text) for text in texts], np.int64)[inverse]
    else:
        labels = values.astype(np.int64)
    content, read = partial(_content, images), partial(_picture, images)
    return Source(name, len(images), content, read, classes, labels)


def _content(images: Images, number: int) -> bytes:
    return images[number].tobytes()


def _picture(images: Images, number: int) -> PIL.Image.Image:
    # Contiguous, because a mapped array may be in Fortran's order.
    image = np.ascontiguousarray(images[number])
    if image.dtype.itemsize > 1:
        image = eight_bit(image)
    # Pillow reads grey only without an axis of channels.
    return PIL.Image.fromarray(image[..., 0] if image.shape[2:] == (1,) else image)
