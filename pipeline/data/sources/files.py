"""Source of the picture files in a folder or zip, and the class of each file."""

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

# Pillow refuses pictures above 179 megapixels and warns above 89, which some cameras exceed. Set
# for the whole process, because changing filters for a moment is not thread-safe.
warnings.filterwarnings("ignore", category=PIL.Image.DecompressionBombWarning)
# Pillow also warns about damaged metadata; pixels decode all the same.
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")

EXTENSIONS = (
    ".apng", ".avif", ".bmp", ".dib", ".gif", ".j2k", ".jfif", ".jp2", ".jpe", ".jpeg", ".jpg",
    ".pbm", ".pgm", ".png", ".pnm", ".ppm", ".tga", ".tif", ".tiff", ".webp",
)  # fmt: skip
# Formats that Pillow may decode, whatever a file's extension. Some other decoders start programs:
# EPS starts Ghostscript.
FORMATS = ("AVIF", "BMP", "DIB", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP")
SPLITS = {"train", "test", "val", "valid", "validation", "eval"}
"""Names of folders, in lower case, that are splits rather than classes."""


def files_source(
    name: str, place: str, files: Collection[str], content: Callable[[str], bytes]
) -> Source:
    """Make a source of the files with a picture's extension, sorted by name.

    Labels come from a labels file, such as labels.csv, or without one from class folders.

    Args:
        name: Name of the source.
        place: Path of the folder or zip, for messages.
        files: Names of all files, relative to `place`, with `/` between folders.
        content: Function that reads a file's bytes.

    Raises:
        UserError: if no file is a picture, or the labels file or the class folders are wrong.
    """
    pictures = pictures_among(place, files)
    class_of = labels_in(place, files, pictures, content)
    if class_of is None:
        class_of = _class_of_each(place, pictures)
    # Names of classes reach terminals and reports, so control characters are escaped.
    class_of = {file: None if value is None else shown(value) for file, value in class_of.items()}
    classes = class_names(value for value in class_of.values() if value is not None)
    index = {value: number for number, value in enumerate(classes)}
    labels = {file: -1 if value is None else index[value] for file, value in class_of.items()}
    return encoded_source(name, classes, labels, content, left_out_of(files))


def encoded_source(
    name: str,
    classes: tuple[str, ...],
    labels: Mapping[str, int],
    content: Callable[[str], bytes],
    left_out: Mapping[str, int],
) -> Source:
    """Make a source of picture files, each decoded when it is read.

    `labels` has each file's class index, or -1 without one, in the order of the pictures;
    `left_out` counts other files by extension.
    """
    files = tuple(labels)

    def content_of(number: int) -> bytes:
        return content(files[number])

    def read(number: int) -> PIL.Image.Image:
        # TGA has no signature at its start, so it is tried only for files with its extension.
        tga = files[number].lower().endswith(".tga")
        return decode(partial(content_of, number), (*FORMATS, "TGA") if tga else FORMATS)

    numbers = np.fromiter(labels.values(), np.int64, len(files))
    return Source(
        name=shown(name),
        count=len(files),
        content=content_of,
        read=read,
        classes=classes,
        labels=numbers,
        name_of=lambda number: shown(files[number]),
        left_out=left_out,
    )


def left_out_of(files: Iterable[str]) -> dict[str, int]:
    """Count the files that are not read, by extension, or by name if they have none.

    Hidden files and labels files do not count.

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


def pictures_among(place: str, files: Collection[str]) -> list[str]:
    """Return the files with a picture's extension that are not hidden, sorted by name.

    Raises:
        UserError: if there is none.
    """
    # Sorted, because file systems list names in any order and the content hash depends on it.
    pictures = sorted(file for file in files if is_picture(file))
    if not pictures:
        others = ", ".join(f"{count} {end}" for end, count in left_out_of(files).items())
        raise UserError(
            f"a source must hold pictures ({' '.join(EXTENSIONS)}). "
            f"Received: {place}, with {f'none among {others}' if others else 'none'}"
        )
    return pictures


def _class_of_each(place: str, files: list[str]) -> dict[str, str | None]:
    """Return the class of each file: the first folder below the deepest one that holds all files.

    Each class is None if all files lie in one folder, even if it is the only class folder.
    """
    # A folder around the whole set is not a class.
    wrapper = posixpath.commonpath([posixpath.dirname(file) for file in files])
    inner = {file: file.removeprefix(f"{wrapper}/") if wrapper else file for file in files}
    loose = [file for file, rest in inner.items() if "/" not in rest]
    if len(loose) == len(files):
        return dict.fromkeys(files)
    if loose:
        raise UserError(
            "pictures must lie either all in class folders or all in one folder. "
            f"Received: {place}, with {len(loose)} outside class folders, such as {loose[0]}"
        )
    classes: dict[str, str | None] = {file: rest.split("/")[0] for file, rest in inner.items()}
    folders = sorted({str(value) for value in classes.values()})
    # Refuse splits: test pictures would be trained on, with the split as their class.
    if SPLITS.issuperset(folder.lower() for folder in folders):
        split = next((folder for folder in folders if folder.lower() == "train"), folders[0])
        raise UserError(
            "folders in a source must be classes, not splits: pass one split, as in "
            f"{posixpath.join(place, wrapper, split)}. Received: {place}, with {', '.join(folders)}"
        )
    return classes


def is_picture(file: str) -> bool:
    """Return whether a file has a picture's extension and is not hidden."""
    return not is_hidden(file) and file.lower().endswith(EXTENSIONS)


def is_hidden(file: str) -> bool:
    """Return whether a file, by its name relative to the root, is hidden and ignored."""
    # macOS puts the resource fork of each file into the `__MACOSX` of a zip.
    return any(part.startswith(".") or part == "__MACOSX" for part in file.split("/"))


def decode(content: Callable[[], bytes], formats: Sequence[str] = FORMATS) -> PIL.Image.Image:
    """Decode a picture, trying only the decoders of `formats`.

    Raises:
        OSError: if it has more than 179 megapixels, or `content` raises it.
        Exception: any error of the decoder.
    """
    try:
        image = PIL.Image.open(io.BytesIO(content()), formats=tuple(formats))
    except PIL.Image.DecompressionBombError as error:
        limit = 2 * (PIL.Image.MAX_IMAGE_PIXELS or 0)
        raise OSError(f"it has more than {limit:,} pixels: store it smaller") from error
    # `open` has read only the header; damage shows here.
    image.load()
    return image
