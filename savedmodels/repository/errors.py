"""Why a model repository was not changed, in one line that states the rule and what came."""

from __future__ import annotations


class RepositoryError(Exception):
    """Request that the repository refuses, or a file of it that is damaged."""


class GateRefused(RepositoryError):
    """The gate has failed the version."""
