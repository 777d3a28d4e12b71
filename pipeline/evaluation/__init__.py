"""Evaluation of a run: features of images, statistics of them, and the gate."""
