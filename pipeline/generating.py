"""Images of a run by seed."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from pipeline.errors import UserError
from pipeline.run_folder import RunFolder

BATCH = 16
MOST_SEEDS = 100_000


def parse_seeds(text: str) -> list[int]:
    """`"0-3,8"` → `[0, 1, 2, 3, 8]`.

    Raises:
        UserError: if it is anything else, or names more than 100,000 seeds.
    """
    seeds: list[int] = []
    for part in text.split(","):
        match = re.fullmatch(r"\s*(\d{1,18})(?:-(\d{1,18}))?\s*", part)
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
        if last < first:
            raise UserError(f"`--seeds` must be like 3, 0-15 or 0-7,20. Received: {text}")
        if len(seeds) + last - first >= MOST_SEEDS:
            raise UserError(f"`--seeds` must name at most {MOST_SEEDS}. Received: {text}")
        seeds += range(first, last + 1)
    return seeds


def generate_images(run: RunFolder, seeds: Sequence[int], *, label: str | None = None) -> Any:
    """The images of seeds from a run's newest average: uint8 `(seeds, height, width, channels)`.

    Each image is a function of the weights and its own seed (and label) alone.

    Args:
        run: With a checkpoint.
        seeds: Not negative.
        label: Class name for a labelled run; without it the classes take turns.

    Raises:
        UserError: if there is no checkpoint, or the label is no class of the run.
    """
    from savedmodels.signatures import latents_of_seeds, to_uint8

    config = run.config()
    model = run.average(run.newest_checkpoint())
    classes = run.manifest()["data"]["classes"] if config.data.labels else []
    if label is not None and label not in classes:
        known = ", ".join(classes) or "none, as the run has no labels"
        raise UserError(f"`--label` must be a class of the run: {known}. Received: {label}")
    images = []
    for start in range(0, len(seeds), BATCH):
        batch = list(seeds[start : start + BATCH])
        # A fixed batch size, as an image's last bits may depend on it.
        padded = batch + [0] * (BATCH - len(batch))
        inputs = latents_of_seeds(padded, config.network.latent_size)
        if classes:
            indices = [
                classes.index(label) if label is not None else (start + i) % len(classes)
                for i in range(BATCH)
            ]
            inputs = [inputs, np.eye(len(classes), dtype=np.float32)[indices]]
        images.append(to_uint8(model(inputs, training=False)).numpy()[: len(batch)])
    return np.concatenate(images)
