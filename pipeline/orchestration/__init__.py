"""Scheduled runs of the whole pipeline, from new pictures to a served model version.

docs/pipeline.md says what each step of a run does.
"""
