"""A logged false positive becomes the narrowest exclusion; what the log holds is a client's, and bounded."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from argos.edge.decode import decode_document
from argos.edge.model import Exclusion
from argos.edge.plan import State, plan
from argos.edge.waf_events import MAX_LINE, TAIL, Event, Finding, find, printable, recent
from argos.edge.waf_exclude import NotExcludable, exclusions_for, explain, propose
from argos.errors import NotFound
from hypothesis import given
from hypothesis import strategies as st

HOST = "wiki.home.example"


def event(**fields: Any) -> Event:
    rules = fields.pop("rules", [(942100, "ARGS:q")])
    findings = tuple(Finding(number, "m", "critical", variable, "v") for number, variable in rules)
    return Event(
        **{"host_id": HOST, "method": "POST", "uri": "/save?x=1", "rules": findings, "mode": "block", **fields}
    )


def state(**host: Any) -> State:
    declared = {"name": HOST, "upstreams": [{"url": "http://192.0.2.1:80"}], "waf": {"mode": "block"}, **host}
    return plan(State(), decode_document({"owner": "ansible", "hosts": [declared]})).state


def test_an_exclusion_names_rule_parameter_path_and_method() -> None:
    found = exclusions_for(event(rules=[(942100, "ARGS:q"), (941100, "REQUEST_COOKIES:prefs"), (942100, "ARGS:q")]))
    assert found == (
        Exclusion(id=942100, parameter="ARGS:q", path="/save", methods=("POST",)),
        Exclusion(id=941100, parameter="REQUEST_COOKIES:prefs", path="/save", methods=("POST",)),
    )


@pytest.mark.parametrize(
    ("variable", "parameter"),
    [
        ("ARGS:json.rows.0.q", "ARGS:json.rows.*.q"),
        ("ARGS:json.2", "ARGS:json.*"),
        ("ARGS:page2", "ARGS:page2"),
        ("ARGS_NAMES:a b", "ARGS_NAMES:a b"),
        ("REQUEST_BODY", "REQUEST_BODY"),
        ("ARGS:", "ARGS"),
        ("REQUEST_METHOD", ""),
        ("TX:header", ""),
        ("ARGS:" + "k" * 200, ""),
        ("ARGS:a\nSecRuleEngine Off", ""),
        ('ARGS:"', 'ARGS:"'),
    ],
)
def test_what_a_rule_found_becomes_a_parameter(variable: str, parameter: str) -> None:
    (found,) = exclusions_for(event(rules=[(942100, variable)]))
    assert found.parameter == parameter


@pytest.mark.parametrize(
    "uri",
    [
        "/a/../b",
        "/a/..;/b",
        "/a%2f%2e%2e/b",
        "//b",
        "/a\\b",
        "/a%00",
        "http://x/a",
        "*",
        "",
        "/%ff",
        "/a*",
        "/x***",
        "/" + "a" * 1023,
    ],
)
def test_a_path_that_no_exclusion_holds_on_is_refused(uri: str) -> None:
    with pytest.raises(NotExcludable):
        exclusions_for(event(uri=uri))


def test_an_encoded_path_is_named_as_the_handler_compares_it() -> None:
    assert exclusions_for(event(uri="/caf%C3%A9/x%20y?a"))[0].path == "/café/x y"
    assert exclusions_for(event(uri="/a/"))[0].path == "/a/"


@pytest.mark.parametrize(("reason", "word"), [("body_limit", "body_limit"), ("busy", "busy"), ("rule", "own checks")])
def test_what_no_exclusion_helps_says_so(reason: str, word: str) -> None:
    with pytest.raises(NotExcludable, match=word):
        exclusions_for(event(rules=[(10001, "REQUEST_HEADERS")], reason=reason))
    assert word in explain(event(rules=[], reason=reason)).problem


def test_the_proposal_adds_to_the_host_and_keeps_its_owner() -> None:
    before = state(waf={"mode": "block", "exclusions": [{"tag": "attack-xss", "path": "/x"}]}, access_log=False)
    proposal = propose(before, event())
    after = plan(before, proposal.document)
    assert [(change.kind, change.name) for change in after.changes] == [("host", HOST)]
    assert after.warnings == ()
    host = after.state.hosts()[0]
    assert [exclusion.id for exclusion in host.waf.exclusions] == [None, 942100]
    assert not host.access_log
    assert after.state.resources[("host", HOST)].owner == "ansible"
    with pytest.raises(NotExcludable, match="already"):
        propose(after.state, event())
    with pytest.raises(NotFound):
        propose(before, event(host_id="gone.home.example"))


TEXT = st.text(max_size=60)


@pytest.mark.threat("ING-2")
@given(TEXT | TEXT.map("/".__add__), TEXT | TEXT.map("ARGS:".__add__), st.sampled_from(["GET", "POST", "PROPFIND"]))
def test_whatever_a_client_sent_the_proposal_is_a_valid_declaration(uri: str, variable: str, method: str) -> None:
    try:
        proposal = propose(state(), event(uri=uri, rules=[(942100, variable)], method=method))
    except NotExcludable:
        return
    assert len(plan(state(), proposal.document).changes) == 1


def write(log: Path, *lines: bytes) -> None:
    log.write_bytes(b"".join(line + b"\n" for line in lines))


def test_events_are_newest_first_and_what_is_no_event_is_passed_over(tmp_path: Path) -> None:
    log = tmp_path / "waf.log"
    assert recent(log) == []
    lines = [json.dumps({"host_id": host, "uri": f"/{n}"}).encode() for n, host in enumerate("aba")]
    write(
        log,
        lines[0],
        b"",
        b"{",
        b"[]",
        b'{"uri": 1}',
        b"\xff",
        lines[1],
        b'{"uri": "' + b"x" * MAX_LINE + b'"}',
        lines[2],
    )
    assert [found.uri for found in recent(log)] == ["/2", "/1", "/0"]
    assert [found.uri for found in recent(log, "a")] == ["/2", "/0"]
    assert [found.uri for found in recent(log, limit=1)] == ["/2"]
    newest = recent(log)[0]
    assert find(log, newest.key) == newest
    with pytest.raises(NotFound):
        find(log, "0" * 16)


@pytest.mark.threat("DAT-4")
def test_only_the_logs_end_is_read(tmp_path: Path) -> None:
    log = tmp_path / "waf.log"
    line = json.dumps({"uri": "/" + "x" * 1000}).encode()
    write(log, b'{"uri": "/first"}', *[line] * (TAIL // len(line) + 10), b'{"uri": "/last"}')
    found = recent(log, limit=10**9)
    assert found[0].uri == "/last"
    assert all(event.uri != "/first" for event in found)
    assert len(found) <= 500


def test_nothing_acts_on_a_terminal() -> None:
    hostile = "\x1b]0;x\x07\u202egnp.exe\r\n\x00"
    assert printable(hostile) == "\\u001b]0;x\\u0007\\u202egnp.exe\\u000d\\u000a\\u0000"
    shown = explain(event(uri="/a\x1b[2J", client_ip=hostile, rules=[(942100, "ARGS:" + hostile)])).shown()
    assert "\x1b" not in json.dumps(shown, ensure_ascii=False)
    assert "\u202e" not in json.dumps(shown, ensure_ascii=False)
    assert len(printable("x" * 5000)) == 300
