"""Which pictures a run learns from."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from pipeline.section import Count, Decides, Section, keys_that_decide

ClassName = Annotated[str, BeforeValidator(lambda name: str(name) if type(name) is int else name)]
"""In YAML `[3, 5]` are numbers, and in a source names."""


PIXELS = Decides("what records hold")
"""Mark of the keys on which a prepared set depends. `on_corrupt` is none of them: with nothing
corrupt both settings give the same set."""


class DataConfig(Section):
    """Which pictures, and how they become square images of one kind.

    For a source that is a prepared set, what decides its pixels was chosen when it was prepared:
    of those keys only `channels` is looked at, which must agree.
    """

    source: str | None = None
    """`digits`, `glyphs[:SIZE[xCOUNT]]`, `tfds:NAME[/CONFIG][:VERSION][:SPLIT]`,
    `tfds:folder=PATH[:SPLIT]`, or the path of: a folder or zip of pictures (class sub-folders,
    `labels.csv`, `labels.json` or StyleGAN's `dataset.json` are labels), MNIST idx files, CIFAR
    batches, official TFRecords, an `.npy` or `.npz` file, a video (`clip.mp4:10` takes every tenth
    frame), or a set that `growgan data prepare` wrote."""
    channels: Annotated[Literal[1, 3], PIXELS] = 3
    """1 for grey, 3 for RGB."""
    crop: Annotated[Literal["center", "pad", "stretch", "none"], PIXELS] = "center"
    """`center`: the largest centred square, resized. `pad`: centred on black, reduced if too large
    and never enlarged. `stretch`: resized whole. `none`: pictures must have the size already."""
    filter: Annotated[Literal["lanczos", "box", "area"], PIXELS] = "lanczos"
    """What a picture is resized with."""
    classes: Annotated[tuple[ClassName, ...] | None, PIXELS] = None
    """The classes to take, or all; a number is the name that it is written as."""
    max_images: Annotated[Count | None, PIXELS] = None
    """Most pictures to take, a random choice, or all."""
    val: Annotated[float, Field(ge=0, lt=1), PIXELS] = 0.0
    """Share of the pictures, a random choice, that is set apart and never trained on."""
    mirrored_copies: Annotated[bool, PIXELS] = False
    """Whether each picture to train on is stored a second time, mirrored left to right."""
    format: Annotated[Literal["png", "jpeg", "raw"], PIXELS] = "png"
    """How records hold pixels. `jpeg` is small and loses a little, `raw` is large and quick."""
    labels: bool = False
    """Whether networks are conditioned on the class labels."""
    mirror: bool = False
    """Whether each image is shown mirrored left to right half of the time."""
    cache: bool = False
    """Whether the encoded images of a phase are kept in memory after they were read once."""
    servers: tuple[str, ...] = ()
    """Machines that make the batches in turn, such as `cpu1:5001`, where `growgan data serve` runs;
    none for this one."""
    on_corrupt: Literal["fail", "skip"] = "fail"
    """What a file that is no readable picture does: stop, or be named, counted and left out."""
    workers: Count | None = None
    """Processes that convert pictures, None for one a core."""
    records: Path = Path("records")
    """Folder in which prepared sets are kept, one sub-folder for each content and preparation."""


DECIDING_RECORDS = keys_that_decide(DataConfig, PIXELS)
"""Keys of `data` on which a prepared set depends: its identity and folder follow from them."""
