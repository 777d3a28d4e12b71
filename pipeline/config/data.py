"""Section `data` of the configuration: pictures of a run, and their conversion."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from pipeline.section import Count, Decides, Section, keys_that_decide

ClassName = Annotated[str, BeforeValidator(lambda name: str(name) if type(name) is int else name)]
"""Name of a class. Numbers become text: YAML reads `[3, 5]` as numbers, but sources name classes by
text."""


PIXELS = Decides("what records hold")
"""Mark of the keys on which a prepared set depends. `on_corrupt` has no mark: without corrupt
files, both of its values give the same set."""


class DataConfig(Section):
    """Source of the pictures, and their conversion to images of one size.

    A prepared set was converted when it was written: if the source is one, the keys marked PIXELS
    are ignored, except `channels`, which must agree.
    """

    source: str | None = None
    """Source: `digits`, `glyphs[:SIZE[xCOUNT]]`, `tfds:NAME[/CONFIG][:VERSION][:SPLIT]`,
    `tfds:folder=PATH[:SPLIT]`, or the path of: a folder or zip of pictures (class sub-folders,
    `labels.csv`, `labels.json` or StyleGAN's `dataset.json` are labels), MNIST idx files, CIFAR
    batches, official TFRecords, an `.npy` or `.npz` file, a video (`clip.mp4:10` takes every tenth
    frame), or a set that `growgan data prepare` wrote."""
    channels: Annotated[Literal[1, 3], PIXELS] = 3
    """Number of channels: 1 for grey, 3 for RGB."""
    crop: Annotated[Literal["center", "pad", "stretch", "none"], PIXELS] = "center"
    """Fitting to the shape: `center` crops the largest centred part and resizes it; `pad` centres
    on black, and reduces but never enlarges; `stretch` resizes the whole; `none` requires the
    size."""
    filter: Annotated[Literal["lanczos", "box", "area"], PIXELS] = "lanczos"
    """Filter for resizing."""
    classes: Annotated[tuple[ClassName, ...] | None, PIXELS] = None
    """Classes to train on, by name; None for all."""
    max_images: Annotated[Count | None, PIXELS] = None
    """Maximum number of pictures, chosen at random; None for all."""
    val: Annotated[float, Field(ge=0, lt=1), PIXELS] = 0.0
    """Share of the pictures, chosen at random, that is held out from training."""
    mirrored_copies: Annotated[bool, PIXELS] = False
    """Store each training picture a second time, mirrored left to right."""
    format: Annotated[Literal["png", "jpeg", "raw"], PIXELS] = "png"
    """Encoding in records: `png`; `jpeg`, small and slightly lossy; `raw`, large and fast."""
    labels: bool = False
    """Condition the networks on class labels."""
    mirror: bool = False
    """Mirror each training image left to right with probability 1/2."""
    cache: bool = False
    """Keep the encoded images of a phase in memory after the first read."""
    servers: tuple[str, ...] = ()
    """Addresses of machines that run `growgan data serve`, such as `cpu1:5001`, which prepare
    batches in turn; empty to prepare them on this machine."""
    on_corrupt: Literal["fail", "skip"] = "fail"
    """Action on files that are not readable pictures: `fail`, or `skip` to leave them out."""
    workers: Count | None = None
    """Processes that convert pictures; None for one per core."""
    records: Path = Path("records")
    """Folder of prepared sets, with one sub-folder per content and preparation."""


DECIDING_RECORDS = keys_that_decide(DataConfig, PIXELS)
"""Keys of `data` on which a prepared set depends; its identity and folder follow from them."""
