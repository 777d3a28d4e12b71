"""Draw images with a run's generator: single images, a grid, or a sheet of styles."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pipeline.data.grids import tile
from pipeline.errors import UserError
from pipeline.generating.labels import labels_of_run, require_styles
from pipeline.training_run.folder import RunFolder

if TYPE_CHECKING:
    from pipeline.sampling.painter import Painter
    from pipeline.sampling.sampler import NoiseMode

CHUNK = 256  # Images whose styles are in memory at a time.


@dataclass(frozen=True)
class Drawing:
    """Request to draw images with a run's newest EMA generator."""

    seeds: Sequence[int]  # Seeds of the images, not negative
    label: str | None = None
    """Class of all images in a labelled run; None cycles through the classes."""
    truncation: Sequence[float] = (1.0,)
    """Factors psi on the distance of styles to their mean; several make a sheet."""
    truncated_layers: int | None = None
    """Number of layers to truncate, from the first; None for all."""
    noise: NoiseMode = "constant"  # Noise mode
    mixed: Sequence[int] = ()
    """Seeds whose styles are mixed into those of `seeds`; if not empty, makes a sheet."""
    mixed_layers: Sequence[int] = ()  # Indices of the layers that take the styles of `mixed`

    @property
    def images(self) -> int:
        """Number of images: one per seed, or on a sheet one per seed and column."""
        return len(self.seeds) * (len(self.mixed) or len(self.truncation))

    @property
    def is_plain(self) -> bool:
        """True if the request needs no styles, so that any family can draw it."""
        return (
            tuple(self.truncation) == (1.0,)
            and self.truncated_layers is None
            and self.noise == "constant"
            and not self.mixed
        )


def require_drawable(run: RunFolder, drawing: Drawing, *, single: bool) -> None:
    """Refuse a request that the run cannot fulfil, before loading the network takes seconds."""
    labels_of_run(run, 1, drawing.label)
    several = len(drawing.truncation) > 1
    if single and (several or drawing.mixed):
        raise UserError(
            "single images must have one `--truncation` and no `--mix`. Received: a sheet of styles"
        )
    if several and drawing.mixed:
        raise UserError("`--mix` must have one `--truncation`. Received: several")
    if not drawing.is_plain:
        require_styles(run)


def draw_images(run: RunFolder, drawing: Drawing) -> Iterator[NDArray[np.uint8]]:
    """Yield the requested single images in batches, uint8 `(n, height, width, channels)`."""
    require_drawable(run, drawing, single=True)
    labels = labels_of_run(run, len(drawing.seeds), drawing.label)
    painter = _painter_of(run)
    if drawing.is_plain:
        yield from painter.of_seeds(drawing.seeds, labels)
        return
    [psi] = drawing.truncation
    for first in range(0, len(drawing.seeds), CHUNK):
        some = slice(first, first + CHUNK)
        seeds = drawing.seeds[some]
        styles = painter.truncated(
            painter.styles(seeds, labels[some]), psi, drawing.truncated_layers
        )
        yield painter.images(styles, seeds, drawing.noise)


def draw_sheet(run: RunFolder, drawing: Drawing) -> NDArray[np.uint8]:
    """Draw a grid of all images, or a sheet: a row per seed, a column per psi or mixed seed."""
    require_drawable(run, drawing, single=False)
    if not drawing.mixed and len(drawing.truncation) == 1:
        grid: NDArray[np.uint8] = tile(np.concatenate(list(draw_images(run, drawing))))
        return grid
    # Import late: TensorFlow takes seconds to load, and errors above should not wait for it.
    from pipeline.generating.sheets import mixing_sheet, truncation_sheet

    painter = _painter_of(run)

    def styles(seeds: Sequence[int]) -> NDArray[np.float32]:
        return painter.styles(seeds, labels_of_run(run, len(seeds), drawing.label))

    if not drawing.mixed:
        return truncation_sheet(
            painter,
            styles(drawing.seeds),
            drawing.seeds,
            drawing.truncation,
            cutoff=drawing.truncated_layers,
            noise=drawing.noise,
        )
    if not 0 <= min(drawing.mixed_layers) <= max(drawing.mixed_layers) < painter.layers:
        raise UserError(
            f"`--mix-layers` must be layers of the network, 0 to {painter.layers - 1}. "
            f"Received: {', '.join(map(str, drawing.mixed_layers))}"
        )
    rows, columns = (
        (painter.truncated(styles(seeds), drawing.truncation[0], drawing.truncated_layers), seeds)
        for seeds in (drawing.seeds, drawing.mixed)
    )
    return mixing_sheet(painter, rows, columns, drawing.mixed_layers, noise=drawing.noise)


def _painter_of(run: RunFolder) -> Painter:
    from pipeline.sampling.painter import Painter
    from pipeline.training_run.networks import SavedNetworks

    return Painter(SavedNetworks(run, run.newest_checkpoint()).sampler())
