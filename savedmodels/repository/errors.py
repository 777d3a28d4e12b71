"""Why a model repository was not changed, in one line that states the rule and what came."""

from __future__ import annotations


class RepositoryError(Exception):
    """What was asked for cannot be, or a file of the repository is damaged."""


class GateRefused(RepositoryError):
    """The gate has failed the version."""
