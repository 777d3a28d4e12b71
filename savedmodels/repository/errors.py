"""Errors of a model repository, each in one line: the rule and what was received."""

from __future__ import annotations


class RepositoryError(Exception):
    """The repository refuses a request, or one of its files is damaged."""


class GateRefused(RepositoryError):
    """The quality gate failed the version."""
