"""What the sign-in page says: whose door this is, and what went before."""

from __future__ import annotations

import pytest
from argos.application import Application
from argos.panel.app import panel_app
from falcon import testing

HEADERS = {"Host": "argos.home.example", "Argos-Client-Ip": "203.0.113.5"}


@pytest.mark.parametrize(
    ("query", "lead"),
    [
        ("", "to open <strong>argos.home.example</strong>, the panel of this edge<"),
        ("rd=%2Fpeople", "to open <strong>argos.home.example</strong>, the panel of this edge<"),
        ("rd=https%3A%2F%2Fphotos.home.example%2Falbum", "to open <strong>photos.home.example</strong><"),
        ("rd=https%3A%2F%2Fevil.example%2F", "to open <strong>argos.home.example</strong>, the panel of this edge<"),
    ],
)
def test_the_page_names_the_host_that_is_about_to_be_entered(application: Application, query: str, lead: str) -> None:
    page = testing.TestClient(panel_app(application), headers=HEADERS).simulate_get("/login", query_string=query)
    assert lead in page.text
