"""Inputs that several signatures take, with their ranges and defaults."""

from __future__ import annotations

import numpy as np

from savedmodels.exportable import EXAMPLES, Exportable
from savedmodels.signature import Input

# As in `growgan generate`: the seeds of all images of a request fit into int64.
LARGEST_SEED = 10**18 - 1
IN_TURN = -1
"""Label that requests images of all classes in turn."""


def seed(name: str) -> Input:
    """Make the input of one seed for all rows."""
    return Input(name, np.array(7), 0, LARGEST_SEED)


def seeds() -> Input:
    """Make the input of one seed per row."""
    return Input("seeds", np.arange(EXAMPLES), 0, LARGEST_SEED)


def number(name: str, most: int, default: int | None = None) -> Input:
    """Make the input of a number of images, from 1 to `most`."""
    value = None if default is None else np.array(default)
    return Input(name, np.array(EXAMPLES), 1, most, value)


def for_all(exportable: Exportable, label: int) -> list[Input]:
    """Make label, whose default is the smallest allowed, and truncation, if the model has them."""
    inputs = []
    if exportable.classes:
        most = exportable.classes - 1
        inputs.append(Input("label", np.array(most), label, most, np.array(label)))
    if exportable.style_sampler:
        psi, one = np.array(0.7, np.float32), np.array(1.0, np.float32)
        inputs.append(Input("truncation", psi, default=one))
    return inputs


def rows(name: str, *shape: int) -> Input:
    """Make the input of one array per row, such as latents, styles or images."""
    # Seeded, so that the example, and with it the golden request, is the same in every export.
    draw = np.random.default_rng(len(name))
    return Input(name, draw.normal(size=(EXAMPLES, *shape)).astype(np.float32))


def one_hot_labels(exportable: Exportable) -> list[Input]:
    """Make the input of one weight per class and row, if the model has labels."""
    one_hot = np.eye(exportable.classes, dtype=np.float32)
    return [Input("labels", one_hot[each.example]) for each in indices(exportable)]


def indices(exportable: Exportable) -> list[Input]:
    """Make the input of one class index per row, if the model has labels."""
    classes = exportable.classes
    return [Input("label", np.arange(EXAMPLES) % classes, 0, classes - 1)] if classes else []


def truncations(exportable: Exportable) -> list[Input]:
    """Make the input of one truncation per row, if the family has styles."""
    psi, one = np.full(EXAMPLES, 0.7, np.float32), np.ones(1, np.float32)
    return [Input("truncation", psi, default=one)] if exportable.style_sampler else []
