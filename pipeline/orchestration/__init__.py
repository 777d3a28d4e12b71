"""Runs of the whole pipeline on a schedule: from a source of pictures to a version that serves."""
