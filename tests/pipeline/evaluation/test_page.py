"""Templates of pages: a name that nobody gave is a mistake, and never a gap."""

from __future__ import annotations

import pytest
from jinja2 import UndefinedError

from pipeline.evaluation.page import render


def test_a_name_that_is_missing_is_no_gap() -> None:
    with pytest.raises(UndefinedError, match="'evaluation' is undefined"):
        render("evaluation/templates/report.html", {})
