"""Render the HTML pages of evaluations and runs from templates; each page is one file."""

from __future__ import annotations

import base64
from collections.abc import Mapping

from jinja2 import Environment, PackageLoader, StrictUndefined


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("pipeline", ""),
        autoescape=True,  # Names chosen by users must not become markup.
        undefined=StrictUndefined,  # Fail on a misspelt name instead of leaving a gap.
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["base64"] = lambda content: base64.b64encode(content).decode()
    environment.filters["commas"] = "{:,}".format
    return environment


_ENVIRONMENT = _environment()


def render(template: str, content: Mapping[str, object]) -> str:
    """Render a template, given by its path below `pipeline`, with the values that it uses."""
    return _ENVIRONMENT.get_template(template).render(content)
