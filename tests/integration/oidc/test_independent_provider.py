"""The dance with providers that other people wrote, in two languages, with their own pages and their own checks."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from urllib.parse import urlsplit

import httpx
import oidc_providers
import pytest
from dance import declare_provider, new_browser, refresh_target, start
from hostile_provider import SECRET
from panel_runtime import Runtime

pytestmark = pytest.mark.timeout(900)  # the first run downloads and compiles them


@pytest.fixture(scope="module", params=["javascript", "golang"])
def independent(request: pytest.FixtureRequest, served: Runtime) -> Iterator[str]:
    """Its issuer."""
    with oidc_providers.running(request.param, SECRET, [served.origin]) as issuer:
        yield issuer


def at_the_provider(url: str, person: str, callback: str) -> str:
    """Fill in the provider's own pages; the callback that it sends the browser to."""
    with httpx.Client(timeout=30) as client:
        for _step in range(12):
            answer = client.get(url)
            if answer.status_code == 200:
                action, fields = filled_in(answer, person)
                answer = client.post(action, data=fields)
            assert answer.is_redirect, answer.text
            url = str(answer.url.join(answer.headers["Location"]))
            if url.startswith(callback):
                parts = urlsplit(url)
                return f"{parts.path}?{parts.query}"
    raise AssertionError(f"the provider goes round in circles at {url}")


def filled_in(page: httpx.Response, person: str) -> tuple[str, dict[str, str]]:
    """Return where a page's form goes, and its fields, those for a name and a password filled in."""
    form = re.search(r'<form[^>]*action="([^"]+)"', page.text)
    assert form, page.text
    fields = {}
    for tag in re.findall(r"<input[^>]*>", page.text):
        attributes = dict(re.findall(r'(\w+)="([^"]*)"', tag))
        if "name" in attributes:
            fields[attributes["name"]] = html.unescape(attributes.get("value", ""))
    fields |= {name: person for name in ("login", "username") if name in fields}
    fields |= {"password": "any"} if "password" in fields else {}
    return str(page.url.join(html.unescape(form[1]))), fields


def test_a_person_signs_in_and_out_with_a_provider_that_somebody_else_wrote(runtime: Runtime, independent: str) -> None:
    declare_provider(runtime, independent)
    browser = new_browser(runtime)
    path = at_the_provider(start(browser, "/?from=there"), "gerda", f"{runtime.origin}/oidc/callback")
    answer = browser.get(path)
    assert answer.status_code == 200, answer.text
    assert refresh_target(answer.text) == "/?from=there"
    assert "Person gerda" in browser.get("/").text
    url = refresh_target(browser.post("/logout").text)
    ended = urlsplit(url)
    assert url.startswith(independent)
    assert "id_token_hint=" in ended.query
    done = httpx.get(url, timeout=30)
    back = done.headers.get("Location", f"{runtime.origin}/login")
    assert done.status_code in {200, 302}, "the provider takes the hint and the return address"
    assert back == f"{runtime.origin}/login"


def test_the_connection_test_passes_there(runtime: Runtime, independent: str) -> None:
    declare_provider(runtime, independent)
    done = runtime.argos("oidc", "test")
    assert done.returncode == 0, done.stdout
