"""Errors that the command line prints as one line: the rule, and the received value."""


class UserError(Exception):
    """Bad input, configuration or surroundings; the command line prints it and exits with 2."""


class AlarmError(Exception):
    """A fault of the training itself; the command line prints it and exits with 3."""


class WorkerGone(Exception):
    """Another worker of the run has ended; the command line prints it and exits with 69."""
