"""Errors that the command line prints as one line, and turns into an exit status."""


class UserError(Exception):
    """Bad input, configuration or environment; the command exits with 2, or 74 for a full disk."""


class AlarmError(Exception):
    """An alarm stopped the training (docs/alarms.md); the command exits with 3."""


class WorkerGone(Exception):
    """Another worker of the same distributed run has ended; the command exits with 69."""
