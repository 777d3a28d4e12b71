"""The API token: the variable that holds it, and what a request bears."""

from __future__ import annotations

import os

TOKEN_VARIABLE = "GROWGAN_SERVE_TOKEN"


def authorization() -> str | None:
    """The header `Authorization` for servers that ask for a token, None if the variable has none.

    Raises:
        ValueError: if it cannot stand in a header; the message does not show it.
    """
    token = os.environ.get(TOKEN_VARIABLE, "").strip()
    if not token:
        return None
    if not token.isprintable():
        raise ValueError(
            "the API token must be one line without control characters. "
            f"Received: ${TOKEN_VARIABLE}"
        )
    # Headers are written as Latin-1, and servers compare the bytes of UTF-8.
    return f"Bearer {token}".encode().decode("latin-1")
