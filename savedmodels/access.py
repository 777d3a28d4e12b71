"""API token of `growgan serve` and its clients, read from an environment variable."""

from __future__ import annotations

import os

TOKEN_VARIABLE = "GROWGAN_SERVE_TOKEN"


def authorization() -> str | None:
    """Make the value of the HTTP header `Authorization`, or None if no token is set.

    Raises:
        ValueError: if the token has control characters; the message does not show the token.
    """
    token = os.environ.get(TOKEN_VARIABLE, "").strip()
    if not token:
        return None
    if not token.isprintable():
        # Name the variable and not the token: errors end up in logs.
        raise ValueError(
            "the API token must be one line without control characters. "
            f"Received: ${TOKEN_VARIABLE}"
        )
    # Decode the UTF-8 bytes as Latin-1: HTTP clients encode headers as Latin-1, and servers
    # compare the bytes with the token in UTF-8.
    return f"Bearer {token}".encode().decode("latin-1")
