"""Errors of a model repository; each message is one line: the rule and what was received."""

from __future__ import annotations


class RepositoryError(Exception):
    """The repository refuses a request, one of its files is damaged, or a server cannot load."""


class GateRefused(RepositoryError):
    """`stable` may not move to a version whose scores failed the quality gate (`growgan gate`)."""
