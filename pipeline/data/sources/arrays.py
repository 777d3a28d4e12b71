"""Source of the pictures in one array, for the readers of digits, idx, CIFAR and NumPy files.

The array is in memory or memory-mapped from a file.
"""

from __future__ import annotations

from functools import partial

import numpy as np
import numpy.typing as npt
import PIL.Image

from pipeline.data.formats import eight_bit
from pipeline.data.sources.labels import class_names
from pipeline.data.sources.source import Source
from pipeline.errors.shown import shown

Images = npt.NDArray[np.uint8] | npt.NDArray[np.uint16]
Values = npt.NDArray[np.integer] | npt.NDArray[np.str_]


def arrays_source(
    name: str, images: Images, values: Values | None, classes: tuple[str, ...] | None = None
) -> Source:
    """Make a source from an array of pictures.

    Args:
        name: Short name of the source.
        images: Pictures, uint8 or uint16, (count, height, width) or (count, height, width, 1, 3 or
            4), where 4 channels are RGBA. A memory-mapped array is read one picture at a time.
        values: Labels (count,), or None for an unlabelled source.
        classes: Names of the classes if `values` are indices; None if `values` are the classes.
    """
    if values is None:
        classes, labels = (), None
    elif classes is None:
        distinct, inverse = np.unique(values, return_inverse=True)
        texts = [str(value) for value in distinct]
        classes = class_names(texts)
        # Look up each class by its text: `class_names` sorts in another order than NumPy.
        labels = np.array([classes.index(text) for text in texts], np.int64)[inverse]
    else:
        labels = values.astype(np.int64)
    content, read = partial(_content, images), partial(_picture, images)
    # Names reach terminals and reports, so escape control characters.
    return Source(shown(name), len(images), content, read, tuple(map(shown, classes)), labels)


def _content(images: Images, index: int) -> bytes:
    return images[index].tobytes()


def _picture(images: Images, index: int) -> PIL.Image.Image:
    # Copy to C order for Pillow: an array may be in Fortran order or a transposed view.
    image = np.ascontiguousarray(images[index])
    if image.dtype.itemsize > 1:
        image = eight_bit(image)
    # Drop a single channel's axis: Pillow takes grey pictures only as (height, width).
    return PIL.Image.fromarray(image[..., 0] if image.shape[2:] == (1,) else image)
