"""Inputs of signatures, with their ranges, defaults and example values."""

from __future__ import annotations

import numpy as np

from savedmodels.exportable import EXAMPLES, Exportable
from savedmodels.signature import Input

LARGEST_SEED = 10**18 - 1
"""Largest seed, as in `growgan generate`: seed plus number of images still fits into int64."""
IN_TURN = -1  # Label that requests images of all classes in turn (0, 1, 2, …, 0, …).


def seed(name: str) -> Input:
    """Make an input for a single seed."""
    return Input(name, np.array(7), 0, LARGEST_SEED)


def seeds() -> Input:
    """Make the input for one seed per row."""
    return Input("seeds", np.arange(EXAMPLES), 0, LARGEST_SEED)


def number(name: str, maximum: int, default: int | None = None) -> Input:
    """Make an input for a number of images, from 1 to `maximum`."""
    value = None if default is None else np.array(default)
    return Input(name, np.array(EXAMPLES), 1, maximum, value)


def single_options(exportable: Exportable, label: int) -> list[Input]:
    """Make the inputs for one label and one truncation for all images, if the model has them.

    Args:
        exportable: Models to export.
        label: Smallest label allowed, and the default.
    """
    inputs = []
    if exportable.classes:
        last = exportable.classes - 1
        inputs.append(Input("label", np.array(last), label, last, np.array(label)))
    if exportable.style_sampler:
        psi, one = np.array(0.7, np.float32), np.array(1.0, np.float32)
        inputs.append(Input("truncation", psi, default=one))
    return inputs


def rows(name: str, *shape: int) -> Input:
    """Make an input for one float array per row, such as a latent, styles or an image."""
    # Seed the example, so that the golden request is the same in every export.
    generator = np.random.default_rng(len(name))
    return Input(name, generator.normal(size=(EXAMPLES, *shape)).astype(np.float32))


def one_hot_labels(exportable: Exportable) -> list[Input]:
    """Make the input for one-hot labels, if the model has labels; otherwise an empty list."""
    one_hot = np.eye(exportable.classes, dtype=np.float32)
    return [Input("labels", one_hot[each.example]) for each in indices(exportable)]


def indices(exportable: Exportable) -> list[Input]:
    """Make the input for one class index per row, if the model has labels."""
    classes = exportable.classes
    return [Input("label", np.arange(EXAMPLES) % classes, 0, classes - 1)] if classes else []


def truncations(exportable: Exportable) -> list[Input]:
    """Make the input for one truncation per row, if the family has styles."""
    psi, one = np.full(EXAMPLES, 0.7, np.float32), np.ones(1, np.float32)
    return [Input("truncation", psi, default=one)] if exportable.style_sampler else []
