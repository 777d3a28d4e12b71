"""Source of picture files below one root, and the class of each file."""

from __future__ import annotations

import io
import posixpath
import warnings
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import partial

import numpy as np
import PIL.Image

from pipeline.data.sources.labels import LABELS_FILES, class_names, labels_in
from pipeline.data.sources.source import Source
from pipeline.errors import UserError
from pipeline.errors.shown import shown

# Pillow refuses pictures of more than 179 megapixels and warns from half of that, which cameras
# reach. Set for the whole process, because changing filters for a moment is not thread-safe.
warnings.filterwarnings("ignore", category=PIL.Image.DecompressionBombWarning)
# Warnings about damaged EXIF and the like, which does not affect pixels.
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")

EXTENSIONS = (
    ".apng", ".avif", ".bmp", ".dib", ".gif", ".j2k", ".jfif", ".jp2", ".jpe", ".jpeg", ".jpg",
    ".pbm", ".pgm", ".png", ".pnm", ".ppm", ".tga", ".tif", ".tiff", ".webp",
)  # fmt: skip
# Regardless of the extension; some other decoders of Pillow, such as EPS, run other programs.
FORMATS = ("AVIF", "BMP", "DIB", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP")
SPLITS = {"train", "test", "val", "valid", "validation", "eval"}


def files_source(
    name: str, place: str, files: Collection[str], content: Callable[[str], bytes]
) -> Source:
    """Make a source of the files with a picture's extension, sorted by name.

    Labels come from a labels file, or without one from the names of class folders. Names are
    relative to the root, and `place` is for messages.

    Raises:
        UserError: if no file is a picture, or the labels file or the class folders are wrong.
    """
    pictures = pictures_among(place, files)
    named = labels_in(place, files, pictures, content)
    if named is None:
        named = _class_of_each(place, pictures)
    named = {file: None if value is None else shown(value) for file, value in named.items()}
    classes = class_names(value for value in named.values() if value is not None)
    index = {value: number for number, value in enumerate(classes)}
    labels = {file: -1 if value is None else index[value] for file, value in named.items()}
    return encoded_source(name, classes, labels, content, left_out_of(files))


def encoded_source(
    name: str,
    classes: tuple[str, ...],
    labels: Mapping[str, int],
    content: Callable[[str], bytes],
    left_out: Mapping[str, int],
) -> Source:
    """Make a source of encoded files; `labels` has a class index or -1 for each, in their order."""
    files = tuple(labels)

    def content_of(number: int) -> bytes:
        return content(files[number])

    def read(number: int) -> PIL.Image.Image:
        # TGA has no signature at its start, so it is tried only for files with its extension.
        tga = files[number].lower().endswith(".tga")
        return decoded(partial(content_of, number), (*FORMATS, "TGA") if tga else FORMATS)

    numbers = np.fromiter(labels.values(), np.int64, len(files))
    return Source(
        shown(name),
        len(files),
        content_of,
        read,
        classes,
        numbers,
        lambda number: shown(files[number]),
        left_out,
    )


def left_out_of(files: Iterable[str]) -> dict[str, int]:
    """Count files that are not read, by extension, without hidden files and labels files.

    Example:
        >>> left_out_of(["a.png", "b.HEIC", "c/d.heic", "labels.csv", "notes"])
        {'.heic': 2, 'notes': 1}
    """
    names = (
        posixpath.basename(file)
        for file in files
        if not is_hidden(file) and not file.lower().endswith(EXTENSIONS)
    )
    ends = Counter(
        shown(posixpath.splitext(name.lower())[1] or name)
        for name in names
        if name not in LABELS_FILES
    )
    return dict(ends.most_common())


def pictures_among(place: str, files: Iterable[str]) -> list[str]:
    """Return the files with a picture's extension that are not hidden, sorted by name.

    Raises:
        UserError: if there is none.
    """
    # Sorted, because file systems list names in any order and the content hash depends on it.
    pictures = sorted(file for file in files if is_picture(file))
    if not pictures:
        raise UserError(
            f"a source must hold pictures ({' '.join(EXTENSIONS)}). Received: {place}, with none"
        )
    return pictures


def _class_of_each(place: str, files: list[str]) -> dict[str, str | None]:
    """Return the class of each file: the first folder below their deepest common folder."""
    # Below it, because a folder around the whole set is not a class.
    wrapper = posixpath.commonpath([posixpath.dirname(file) for file in files])
    inner = {file: file.removeprefix(f"{wrapper}/") if wrapper else file for file in files}
    loose = [file for file, rest in inner.items() if "/" not in rest]
    if len(loose) == len(files):
        return dict.fromkeys(files)
    if loose:
        raise UserError(
            "pictures must lie either all in class folders or all in one folder. "
            f"Received: {place}, with {len(loose)} beside its folders, such as {loose[0]}"
        )
    classes: dict[str, str | None] = {file: rest.split("/")[0] for file, rest in inner.items()}
    folders = sorted({str(value) for value in classes.values()})
    # Splits as classes would train on the test set, and label by split.
    if SPLITS.issuperset(folder.lower() for folder in folders):
        raise UserError(
            "folders in a source must be classes, not splits. "
            f"Received: {place}, with {', '.join(folders)}; name one, as in "
            f"{posixpath.join(place, wrapper, folders[-1])}"
        )
    return classes


def is_picture(file: str) -> bool:
    """Return whether a file has a picture's extension and is not hidden."""
    return not is_hidden(file) and file.lower().endswith(EXTENSIONS)


def is_hidden(file: str) -> bool:
    """Return whether a file, by its name relative to the root, is hidden and ignored."""
    # macOS puts the resource fork of each file into the `__MACOSX` of a zip.
    return any(part.startswith(".") or part == "__MACOSX" for part in file.split("/"))


def decoded(content: Callable[[], bytes], formats: Sequence[str] = FORMATS) -> PIL.Image.Image:
    """Decode a picture in one of Pillow's formats.

    Raises:
        OSError: if it has more than 179 megapixels, or `content` raises it.
        Exception: any error of the decoder.
    """
    try:
        image = PIL.Image.open(io.BytesIO(content()), formats=tuple(formats))
    except PIL.Image.DecompressionBombError as error:
        raise OSError(f"{str(error).rstrip('.')}: store it smaller") from error
    # Pixels too, because Pillow has only read the header.
    image.load()
    return image
