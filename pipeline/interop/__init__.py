"""Import of published weights, as Keras models or as runs."""

from pipeline.interop.official import OfficialModels, load_official

__all__ = ["OfficialModels", "load_official"]
