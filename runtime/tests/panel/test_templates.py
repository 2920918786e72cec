"""Every template is one that Jinja takes: a page broken by an edit is found before somebody opens it."""

from __future__ import annotations

from importlib.resources import files

import pytest
from argos.panel import pages

NAMES = sorted(entry.name for entry in (files("argos.panel") / "templates").iterdir() if entry.name.endswith(".html"))


@pytest.mark.parametrize("name", NAMES)
def test_a_template_compiles(name: str) -> None:
    assert pages._environment().get_template(name).name == name
