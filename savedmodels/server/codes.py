"""Error codes that TensorFlow and gRPC share, and their HTTP statuses."""

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
    Code.CANCELLED: 499,  # in no standard; servers use it for clients that went away
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

LONGEST = 2000  # characters of a message: gRPC sends errors in a header, which may have 8 KiB


class Refused(Exception):
    """Error answer to a request: a canonical code and a message for the client."""

    def __init__(self, code: Code, message: str) -> None:
        if len(message) > LONGEST:
            message = f"{message[: LONGEST - 3]}..."
        super().__init__(message)
        self.code = code
        self.message = message


def invalid(message: str) -> Refused:
    """Make an INVALID_ARGUMENT error."""
    return Refused(Code.INVALID_ARGUMENT, message)
