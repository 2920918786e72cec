"""Named WAF policies and exclusions, as a real edge applies them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from argos.edge.revisions import read_state
from argos.edge.waf_events import recent
from argos.edge.waf_exclude import propose
from argos.errors import Refused
from edge_rig import ACTOR, EchoUpstream, Edge
from waiting import until

SQLI = quote("1' UNION SELECT username, password FROM users-- -")
HEADERS = "User-Agent: Mozilla/5.0\r\nAccept: */*\r\n"


def host(name: str, echo: EchoUpstream, waf: dict[str, Any]) -> dict[str, Any]:
    return {"name": f"{name}.home.example", "upstreams": [{"url": echo.url}], "tls": {"mode": "off"}, "waf": waf}


def status(edge: Edge, name: str, path: str = f"/?q={SQLI}", method: str = "GET", body: bytes = b"") -> int:
    kind = "Content-Type: application/x-www-form-urlencoded\r\n" if body else ""
    return edge.ask(f"{name}.home.example", path, HEADERS + kind, method=method, body=body, plain=True).status


@pytest.mark.threat("ING-2")
def test_hosts_share_a_policy_and_keep_their_own_exclusions(edge: Edge, echo: EchoUpstream) -> None:
    wiki = {"name": "wiki", "exclusions": [{"tag": "attack-sqli", "parameter": "ARGS:text", "path": "/save"}]}
    own = [{"tag": "attack-sqli", "parameter": "ARGS:q", "path": "/api/*", "methods": ["GET"]}]
    edge.apply(
        [
            host("one", echo, {"policy": "wiki"}),
            host("two", echo, {"policy": "wiki", "exclusions": own}),
            host("watched", echo, {"policy": "wiki", "mode": "detect"}),
            host("free", echo, {"policy": "wiki", "mode": "off"}),
        ],
        waf_policies=[wiki],
    )
    form = f"text={SQLI}".encode()
    for name, found in {
        "one": [403, 403, 200, 403],
        "two": [403, 200, 200, 403],
        "watched": [200, 200, 200, 200],
        "free": [200, 200, 200, 200],
    }.items():
        asked = [
            status(edge, name),
            status(edge, name, f"/api/x?q={SQLI}"),
            status(edge, name, "/save", "POST", form),
            status(edge, name, f"/api/x?p={SQLI}"),
        ]
        assert asked == found, name
    edge.apply([], waf_policies=[{**wiki, "inbound_threshold": 100}])
    assert status(edge, "one") == 200


def test_a_policys_limits_are_in_force(edge: Edge, echo: EchoUpstream) -> None:
    edge.apply([host("one", echo, {"policy": "small"})], waf_policies=[{"name": "small", "body_limit": 1024}])
    assert status(edge, "one", "/", "POST", b"a=" + b"x" * 1000) == 200
    assert status(edge, "one", "/", "POST", b"a=" + b"x" * 1100) == 413


def test_a_rule_that_the_engine_refuses_is_named_with_its_policy(edge: Edge, echo: EchoUpstream) -> None:
    edge.apply([host("one", echo, {"policy": "wiki"})], waf_policies=[{"name": "wiki"}, {"name": "other"}])
    bad = 'SecRule ARGS "@rx (" "id:100001,phase:2,deny"'
    with pytest.raises(Refused, match=r"waf_policy/wiki.*missing closing"):
        edge.apply([], waf_policies=[{"name": "wiki", "custom_rules": [bad]}, {"name": "other", "paranoia": 2}])
    assert status(edge, "one") == 403


@pytest.mark.threat("ING-1")
def test_a_false_positive_passes_after_its_exclusion_and_nothing_else_does(edge: Edge, echo: EchoUpstream) -> None:
    edge.apply(
        [host("one", echo, {"mode": "block", "paranoia": 2}), host("two", echo, {"mode": "block", "paranoia": 2})]
    )
    body = f"text={SQLI}&page=3".encode()
    assert status(edge, "one", "/save", "POST", body) == 403
    until(lambda: bool(recent(Path(edge.context.waf_log), "one.home.example")))
    events = recent(Path(edge.context.waf_log), "one.home.example")
    with edge.storage.read() as connection:
        state = read_state(connection)
    proposal = propose(state, events[0])
    outcome = edge.engine.apply(ACTOR, proposal.document, state.etag())
    assert [(change.kind, change.name, change.action) for change in outcome.changes] == [
        ("host", "one.home.example", "update")
    ]
    assert status(edge, "one", "/save", "POST", body) == 200
    for name, path, sent in (
        ("one", "/save", body.replace(b"text", b"other")),
        ("one", "/save/x", body),
        ("two", "/save", body),
    ):
        assert status(edge, name, path, "POST", sent) == 403, (name, path)
    assert json.dumps(outcome.changes[0].after).count("942100") == 1


@pytest.mark.threat("ING-2")
def test_an_answer_is_inspected_though_upstream_and_client_would_compress_it(edge: Edge, echo: EchoUpstream) -> None:
    compressing = host("one", echo, {"policy": "both"}) | {"compression": True}
    edge.apply([compressing, host("blind", echo, {"mode": "block"})], waf_policies=[{"name": "both", "response": True}])
    wants = HEADERS + "Accept-Encoding: gzip\r\n"
    assert edge.ask("one.home.example", "/leak", wants, plain=True).status == 403
    unread = edge.ask("blind.home.example", "/leak", wants, plain=True)
    assert (unread.status, unread.one("Content-Encoding")) == (200, "gzip")
    honest = edge.ask("one.home.example", "/" + "x" * 900, wants, plain=True)
    assert (honest.status, honest.one("Content-Encoding")) == (200, "gzip"), "by the edge itself"
