"""Weights from elsewhere: published ones, as Keras models or as runs, and those of other runs."""
