"""Inputs that signatures share, and what they may be."""

from __future__ import annotations

import numpy as np

from savedmodels.exportable import EXAMPLES, Exportable
from savedmodels.signature import Input

LARGEST_SEED = 10**18 - 1
"""Largest seed, as in `growgan generate`: it plus the images of one request fits into int64."""
IN_TURN = -1
"""The label of images whose classes take turns."""


def seed(name: str) -> Input:
    """A single seed."""
    return Input(name, np.array(7), 0, LARGEST_SEED)


def seeds() -> Input:
    """A seed a row."""
    return Input("seeds", np.arange(EXAMPLES), 0, LARGEST_SEED)


def number(name: str, most: int, default: int | None = None) -> Input:
    """A number of images, at least one."""
    value = None if default is None else np.array(default)
    return Input(name, np.array(EXAMPLES), 1, most, value)


def for_all(exportable: Exportable, label: int) -> list[Input]:
    """Label, whose default is the least, and truncation of all images, where there are any."""
    inputs = []
    if exportable.classes:
        most = exportable.classes - 1
        inputs.append(Input("label", np.array(most), label, most, np.array(label)))
    if exportable.style_sampler:
        psi, one = np.array(0.7, np.float32), np.array(1.0, np.float32)
        inputs.append(Input("truncation", psi, default=one))
    return inputs


def rows(name: str, *shape: int) -> Input:
    """Numbers of that shape in a row: latents, styles, images."""
    draw = np.random.default_rng(len(name))
    return Input(name, draw.normal(size=(EXAMPLES, *shape)).astype(np.float32))


def one_hot_labels(exportable: Exportable) -> list[Input]:
    """The weights of all classes in a row, where there are labels."""
    one_hot = np.eye(exportable.classes, dtype=np.float32)
    return [Input("labels", one_hot[each.example]) for each in indices(exportable)]


def indices(exportable: Exportable) -> list[Input]:
    """The index of a class a row, where there are labels."""
    classes = exportable.classes
    return [Input("label", np.arange(EXAMPLES) % classes, 0, classes - 1)] if classes else []


def truncations(exportable: Exportable) -> list[Input]:
    """A truncation a row, where there are styles."""
    psi, one = np.full(EXAMPLES, 0.7, np.float32), np.ones(1, np.float32)
    return [Input("truncation", psi, default=one)] if exportable.style_sampler else []
