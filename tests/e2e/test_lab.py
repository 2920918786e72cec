"""What the suite itself relies on."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest
from lab.admin_api import Declaration
from lab.browser import chromium
from lab.guest import Guest
from lab.namespace import ip

BRIDGE = "argos-e2e-other"
# Two events, the second after some seconds: an answer that is under way meanwhile.
ASK = "url => { window.answer = fetch(url).then(answer => answer.text(), problem => String(problem)); }"


@pytest.fixture
def no_bridge() -> Iterator[None]:
    yield
    with contextlib.suppress(RuntimeError):
        ip("link", "delete", BRIDGE)


@pytest.mark.usefixtures("no_bridge")
def test_a_browser_loses_no_answer_when_another_suite_makes_a_network(guest: Guest, declaration: Declaration) -> None:
    host = f"https://{declaration.name('e2e-open')}"
    with chromium(guest) as browser:
        page = browser.new_page()
        page.goto(f"{host}/")
        page.evaluate(ASK, f"{host}/sse?count=2&interval=3")
        ip("link", "add", BRIDGE, "type", "bridge")
        ip("address", "add", "198.19.78.1/30", "dev", BRIDGE)
        ip("link", "set", BRIDGE, "up")
        assert page.evaluate("window.answer").count("data:") == 2
