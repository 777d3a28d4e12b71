"""Errors of the server: codes shared with TensorFlow and gRPC, and their HTTP statuses."""

from __future__ import annotations

import enum


class Code(enum.IntEnum):
    """Canonical error codes, numbered as in gRPC and in TensorFlow's `error_codes.proto`."""

    OK = 0
    CANCELLED = 1
    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    ABORTED = 10
    OUT_OF_RANGE = 11
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    DATA_LOSS = 15
    UNAUTHENTICATED = 16


HTTP_STATUS = {
    Code.OK: 200,
    Code.CANCELLED: 499,  # not standard; web servers use it for clients that disconnected
    Code.UNKNOWN: 500,
    Code.INVALID_ARGUMENT: 400,
    Code.DEADLINE_EXCEEDED: 504,
    Code.NOT_FOUND: 404,
    Code.ALREADY_EXISTS: 409,
    Code.PERMISSION_DENIED: 403,
    Code.RESOURCE_EXHAUSTED: 429,
    Code.FAILED_PRECONDITION: 400,
    Code.ABORTED: 409,
    Code.OUT_OF_RANGE: 400,
    Code.UNIMPLEMENTED: 501,
    Code.INTERNAL: 500,
    Code.UNAVAILABLE: 503,
    Code.DATA_LOSS: 500,
    Code.UNAUTHENTICATED: 401,
}
"""HTTP status of each code, as in TensorFlow Serving's `ToHTTPStatusCode`."""

_MAX_CHARACTERS = 2000  # of an error's message: gRPC sends it in a header of at most 8 KiB


class Refused(Exception):
    """Error that ends a request: a canonical code and a message for the client.

    REST and gRPC turn it into their error answers. A message above 2000 characters is cut.
    """

    def __init__(self, code: Code, message: str) -> None:
        if len(message) > _MAX_CHARACTERS:
            message = f"{message[: _MAX_CHARACTERS - 3]}..."
        super().__init__(message)
        self.code = code
        self.message = message


def invalid(message: str) -> Refused:
    """Make an INVALID_ARGUMENT error."""
    return Refused(Code.INVALID_ARGUMENT, message)
