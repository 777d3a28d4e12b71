"""Evaluate a run: features of images, statistics over them, reports and the gate."""
