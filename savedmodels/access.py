"""API token: the environment variable that holds it, and the header made from it."""

from __future__ import annotations

import os

TOKEN_VARIABLE = "GROWGAN_SERVE_TOKEN"


def authorization() -> str | None:
    """Return the header `Authorization` with the token, or None if the variable is empty.

    Raises:
        ValueError: if the token has control characters; the message does not show the token.
    """
    token = os.environ.get(TOKEN_VARIABLE, "").strip()
    if not token:
        return None
    if not token.isprintable():
        # Errors end up in logs, so this names the variable and not the token.
        raise ValueError(
            "the API token must be one line without control characters. "
            f"Received: ${TOKEN_VARIABLE}"
        )
    # Headers are written as Latin-1, and servers compare the bytes of UTF-8.
    return f"Bearer {token}".encode().decode("latin-1")
