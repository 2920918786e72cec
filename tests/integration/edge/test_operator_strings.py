"""What an operator writes is served as it was written, whatever Caddy would make of it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from edge_rig import EchoUpstream, Edge

HOST = "open.home.example"
STRANGE = [
    "{file./etc/hostname}",
    "{env.HOME}{env.PLANTED_SECRET}",
    "{http.request.header.Cookie}",
    "\\{file./etc/hostname}",
    "\\\\{env.HOME}",
    "{{env.HOME}}",
    "{env.{env.HOME}}",
    "a}b{c\\}d",
    "{",
    "}",
    '{"json": {"a": [1]}}',
    "{system.hostname} {time.now} {http.vars.client_ip}",
]


def declare(edge: Edge, echo: EchoUpstream, **more: Any) -> None:
    """One host with what a test adds."""
    edge.apply([{"name": HOST, "upstreams": [{"url": echo.url}], **more}])


def says(body: str) -> dict[str, Any]:
    """An action that answers with a text."""
    return {"type": "fixed_response", "body": body}


def rule(action: dict[str, Any], **match: Any) -> dict[str, Any]:
    """A host's one rule."""
    return {"rules": [{"priority": 1, "match": match, "action": action}]}


@pytest.mark.parametrize("strange", STRANGE)
def test_bodies_headers_and_upstream_headers_are_literal(edge: Edge, echo: EchoUpstream, strange: str) -> None:
    body = {"type": "fixed_response", "body": strange, "content_type": f"text/plain; x={strange}"}
    declare(
        edge,
        echo,
        **rule(body, path=["/fixed"]),
        request_headers={"set": {"X-Told": strange}},
        response_headers={"set": {"X-Said": strange}},
    )
    fixed = edge.ask(HOST, "/fixed")
    assert (fixed.status, fixed.body.decode()) == (200, strange)
    assert fixed.one("Content-Type") == f"text/plain; x={strange}"
    assert fixed.one("X-Said") == strange
    answer = edge.ask(HOST, headers="Cookie: c=1\r\n")
    assert answer.received().all("X-Told") == [strange]
    assert answer.one("X-Said") == strange


@pytest.mark.parametrize("strange", [text for text in STRANGE if " " not in text])
def test_redirects_and_matchers_are_literal(edge: Edge, echo: EchoUpstream, strange: str) -> None:
    from urllib.parse import quote

    path = strange.replace("\\", "")
    path = f"/at/{path.replace('?', '')}" if not set(path) & set("[]") else "/at/x"
    rules = [
        {"priority": 1, "match": {"path": [path]}, "action": {"type": "redirect", "location": f"/to/{strange}"}},
        {
            "priority": 2,
            "match": {"header": {"X-Key": [strange]}},
            "action": {"type": "fixed_response", "body": "by header"},
        },
        {
            "priority": 3,
            "match": {"query": {strange: [strange]}},
            "action": {"type": "fixed_response", "body": "by query"},
        },
    ]
    declare(edge, echo, rules=rules)
    moved = edge.ask(HOST, quote(path))
    assert (moved.status, moved.one("Location")) == (302, f"/to/{strange}")
    assert edge.ask(HOST, headers=f"X-Key: {strange}\r\n").body == b"by header"
    asked = f"/?{quote(strange, safe='')}={quote(strange, safe='')}"
    assert edge.ask(HOST, asked).body == b"by query"
    assert edge.ask(HOST, headers="X-Key: /root\r\n").received().path == "/"


def test_the_allowed_placeholders_tell_about_the_request(edge: Edge, echo: EchoUpstream) -> None:
    declare(edge, echo, **rule({"type": "redirect", "location": "https://new.example{http.request.uri}"}, path=["/o*"]))
    moved = edge.ask(HOST, "/old/%7Bfile./etc/hostname%7D?a={env.HOME}&b=%2F")
    assert moved.one("Location") == "https://new.example/old/%7Bfile./etc/hostname%7D?a={env.HOME}&b=%2F"


def test_rules_go_by_priority_and_the_first_match_wins(edge: Edge, echo: EchoUpstream) -> None:
    rules = [
        {"priority": 20, "match": {"path": ["/admin*"]}, "action": {"type": "block"}},
        {
            "priority": 10,
            "match": {"path_exact": ["/admin/ok"], "method": ["GET"]},
            "action": {"type": "fixed_response", "body": "ok"},
        },
        {"priority": 30, "match": {"remote_ip": ["203.0.113.0/24"]}, "action": {"type": "block"}},
    ]
    declare(edge, echo, rules=rules)
    assert edge.ask(HOST, "/admin/ok").body == b"ok"
    assert edge.ask(HOST, "/admin/ok", method="POST", body=b"1").status == 403
    for path in ("/admin", "/ADMIN/x", "//admin", "/a/../admin", "/%61dmin"):
        assert edge.ask(HOST, path).status == 403, path
    assert edge.ask(HOST, "/adm").status == 200


@pytest.mark.threat("SEC-3")
def test_the_access_log_holds_no_credentials(edge: Edge, echo: EchoUpstream) -> None:
    declare(edge, echo)
    planted = "planted-credential"
    headers = "".join(
        f"{name}: {planted}\r\n"
        for name in ("Authorization", "X-Api-Key", "Cookie", "Proxy-Authorization", "X-Auth-Token")
    )
    headers += f"Referer: https://x.example/?token={planted}\r\n"
    edge.ask(HOST, f"/login?rd=https%3A%2F%2F{planted}&keep=this&code={planted}&set-cookie=a={planted}", headers)
    edge.ask(HOST, f"/answer?set-cookie=a%3D{planted[:4]}x", headers)
    edge.stop()
    lines = edge.log_lines()
    assert len(lines) == 2
    first = json.dumps({**lines[0], "request": {**lines[0]["request"], "uri": ""}})
    assert planted not in first
    assert "keep=this" in lines[0]["request"]["uri"]
    assert f"code={planted}" not in lines[0]["request"]["uri"]
    assert lines[0]["resp_headers"].get("Set-Cookie", ["REDACTED"]) == ["REDACTED"]
    assert lines[0]["request"]["client_ip"] == "127.0.0.1"
    assert lines[0]["ts"].endswith("Z")
    assert lines[0]["ts"][10] == "T"
    assert (edge.place / "access.log").stat().st_mode & 0o777 == 0o640


@pytest.mark.threat("SEC-3")
@pytest.mark.parametrize("logged", [True, False])
def test_the_journal_holds_no_credentials_when_an_upstream_fails(
    edge: Edge, echo: EchoUpstream, *, logged: bool
) -> None:
    """Caddy writes the request beside an answer that was cut off, whatever the access log is told."""
    declare(edge, echo, access_log=logged)
    planted = "planted-credential"
    headers = "".join(
        f"{name}: {planted}\r\n"
        for name in ("Authorization", "X-Api-Key", "x-vault-token", "Cookie", "Sec-WebSocket-Protocol")
    )
    headers += f"Referer: https://x.example/?token={planted}\r\n"
    cut = edge.ask(HOST, f"/cut?api_key={planted}&keep=this", headers)
    assert (cut.status, cut.body) == (200, b"0123456789")
    edge.stop()
    journal = (edge.place / "caddy.out").read_text()
    assert "aborting with incomplete response" in journal
    assert "keep=this" in journal
    assert planted not in journal


def test_a_host_can_be_left_out_of_the_access_log(edge: Edge, echo: EchoUpstream) -> None:
    quiet = {"name": "quiet.home.example", "upstreams": [{"url": echo.url}], "access_log": False}
    edge.apply([quiet, {"name": HOST, "upstreams": [{"url": echo.url}]}])
    edge.ask("quiet.home.example")
    edge.ask(HOST)
    edge.stop()
    assert [line["request"]["host"] for line in edge.log_lines()] == [HOST]
