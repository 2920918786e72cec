"""What a visitor sees when the edge itself answers: words that help, a number to quote, and nothing of the cause."""

from __future__ import annotations

import re
from urllib.parse import quote

import pytest
from edge_rig import Answer, EchoUpstream, Edge
from ports import free_port

ATTACK = "/?q=" + quote("1' UNION SELECT username, password FROM users--")


def words_of(answer: Answer, status: int, heading: str, declared: str = "") -> str:
    """The page's text, once its form is right. ``declared`` stands in it as it was written, braces too."""
    page = answer.body.decode()
    assert answer.status == status, page
    assert f"<h1>{heading}</h1>" in page
    assert f"<title>{heading}</title>" in page
    assert '<html lang="en" style="color-scheme:light dark">' in page, "in light and dark"
    assert 'name="viewport"' in page
    assert page.count("<main") == page.count("<h1>") == 1
    assert "{" not in page.replace(declared, ""), "a placeholder was not filled in"
    policy = answer.one("Content-Security-Policy")
    assert policy is not None
    assert policy.startswith("default-src 'none'")
    return re.sub(r"<[^>]*>", " ", page)


@pytest.mark.threat("ING-7")
def test_each_refusal_says_what_a_person_can_do(edge: Edge, echo: EchoUpstream) -> None:
    away = f"http://127.0.0.1:{free_port()}"
    edge.apply([
        {"name": "away.home.example", "upstreams": [{"url": away}]},
        {"name": "few.home.example", "upstreams": [{"url": echo.url}], "rate_limit": {"requests": 1, "window": 600}},
        {"name": "waf.home.example", "upstreams": [{"url": echo.url}], "waf": {"mode": "block"}},
        {"name": "small.home.example", "upstreams": [{"url": echo.url}], "body_limit": 10},
        {
            "name": "closed.home.example",
            "upstreams": [{"url": echo.url}],
            "maintenance": {"enabled": True, "text": "Back at <nine>.\nPromise {http.request.host}."},
        },
    ])  # fmt: skip
    said = words_of(edge.ask("away.home.example"), 502, "This site does not answer")
    assert re.search(r"502, request\s+[0-9a-f-]{36}", said), "a number to quote"
    assert away not in said
    assert "refused" not in said, "the cause stands in the log alone"
    assert edge.ask("few.home.example").status == 200
    limited = edge.ask("few.home.example")
    assert "Wait a little" in words_of(limited, 429, "Too many requests")
    assert limited.one("Retry-After")
    refused = words_of(edge.ask("waf.home.example", ATTACK), 403, "This request was refused")
    assert "SQL" not in refused
    assert "942" not in refused.partition("request  ")[0]
    large = edge.ask("small.home.example", method="POST", body=b"x" * 100)
    words_of(large, 413, "That is too large")
    closed = words_of(edge.ask("closed.home.example"), 503, "Maintenance", "{http.request.host}")
    assert "Back at &lt;nine&gt;." in closed
