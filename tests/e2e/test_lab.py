"""What the suite itself relies on."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator

import pytest
from lab.admin_api import Declaration
from lab.browser import chromium
from lab.guest import Guest
from lab.namespace import ip

# Two events, the second after some seconds: an answer that is under way meanwhile.
ASK = "url => { window.answer = fetch(url).then(answer => answer.text(), problem => String(problem)); }"


@pytest.fixture
def bridge(guest: Guest) -> Iterator[str]:
    """The name of an interface that there is not yet, though an interrupted run left it, and at the end no more."""
    name = f"lab{hashlib.sha256(guest.name.encode()).hexdigest()[:8]}"
    _remove(name)
    yield name
    _remove(name)


def _remove(name: str) -> None:
    with contextlib.suppress(RuntimeError):
        ip("link", "delete", name)


def test_a_browser_loses_no_answer_when_another_suite_makes_a_network(
    guest: Guest, declaration: Declaration, bridge: str
) -> None:
    host = f"https://{declaration.name('e2e-open')}"
    with chromium(guest) as browser:
        page = browser.new_page()
        page.goto(f"{host}/")
        page.evaluate(ASK, f"{host}/sse?count=2&interval=3")
        ip("link", "add", bridge, "type", "bridge")
        ip("address", "add", "198.19.78.1/30", "dev", bridge)
        ip("link", "set", bridge, "up")
        assert page.evaluate("window.answer").count("data:") == 2
