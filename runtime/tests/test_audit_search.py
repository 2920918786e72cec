"""Searching and exporting the record: bounded, parameterised, and safe to open in a spreadsheet (DAT-1)."""

from __future__ import annotations

import csv
import io
import json

import pytest
from argos.audit import Actor, Audit
from argos.audit import search as searching
from argos.audit.export import csv_lines, json_lines
from argos.audit.search import KINDS, TEXTS, Query, Search, parse_query
from argos.clock import FixedClock
from argos.errors import Invalid
from argos.storage.engine import Storage
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

HOSTILE = [
    "' OR 1=1 --",
    "'; DROP TABLE audit; --",
    '" OR ""="',
    "%",
    "_",
    "\\",
    "/",
    "%_\\/'\"",
    ") OR (1=1",
    "x' UNION SELECT sealed FROM named_secrets --",
    "\u202e\u0000".replace("\0", ""),
    "=cmd|'/c calc'!A1",
    "<script>alert(1)</script>",
    "🦉" * 50,
    "a" * 200,
]
ACTORS = [
    Actor("user", "alice", "203.0.113.7"),
    Actor("user", "bob", "2001:db8::7"),
    Actor("admin_api", "ansible:carol"),
    Actor("admin_api", "admin-socket"),
    Actor("cli", "root"),
    Actor("token", "backup"),
    Actor("system", "retention"),
]


@pytest.fixture
def filled(storage: Storage, audit: Audit, clock: FixedClock) -> Search:
    with storage.write() as connection:
        for number in range(70):
            clock.advance(60)
            actor = ACTORS[number % len(ACTORS)]
            audit.record(connection, actor, "user.update", f"user/u{number}", {"role": "member"}, {"role": "admin"})
        for text in HOSTILE:
            audit.record(connection, ACTORS[0], "host.update", f"host/{text}", None, {"reason": text})
    return Search(storage)


def test_filters_find_what_they_say(filled: Search, clock: FixedClock) -> None:
    def found(**wanted: object) -> set[str]:
        return {entry.actor for entry in filled.page(Query(limit=500, **wanted)).entries}

    assert found(kind="person") == {"alice", "bob"}
    assert found(kind="ansible") == {"carol"}
    assert found(kind="socket") == {"admin-socket"}
    assert found(kind="cli") == {"root"}
    assert found(kind="token") == {"backup"}
    assert found(actor="aro") == {"carol"}
    assert found(actor="user") == set(), "the kind is no part of the name"
    assert found(address="2001:db8:") == {"bob"}
    assert found(target="user/u13") == {"retention"}
    assert found(since=clock.now() - 119, action="user.") == {"retention", "backup"}
    assert found(until=clock.now() - 69 * 60 + 1) == {"alice"}
    assert found(text='"role":"admin"', actor="bob") == {"bob"}
    claims = {entry.kind for entry in filled.page(Query(limit=500)).entries if entry.claim}
    assert claims == {"ansible", "socket", "cli"}


def test_pages_lead_through_all_rows_once(filled: Search) -> None:
    seen: list[int] = []
    query = Query(limit=7)
    while True:
        page = filled.page(query)
        seen += [entry.id for entry in page.entries]
        if page.older is None:
            break
        query = Query(limit=7, before=page.older)
    assert seen == list(range(70 + len(HOSTILE), 0, -1))
    assert [entry.id for entry in filled.all(Query())] == sorted(seen)
    assert [entry.id for entry in filled.all(Query(before=4), after=1)] == [2, 3]


def test_one_request_looks_at_a_bounded_number_of_rows(filled: Search, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(searching, "WINDOW", 10)
    page = filled.page(Query(target="user/u0"))
    assert page.entries == ()
    assert page.older == 70 + len(HOSTILE) + 1 - 10
    assert [entry.target for entry in filled.all(Query(target="user/u0"))] == ["user/u0"]


@pytest.mark.threat("DAT-1")
@pytest.mark.parametrize("field", TEXTS)
def test_a_hostile_value_in_any_filter_finds_itself_and_nothing_else(filled: Search, field: str) -> None:
    for text in HOSTILE:
        found = filled.page(parse_query({field: text, "limit": "500"})).entries
        hosts = {entry.target for entry in found if entry.action == "host.update"}
        if field in {"target", "text"}:
            # Every target holds a slash; every detail is JSON, which holds quotes and escapes its backslashes.
            assert hosts >= {f"host/{one}" for one in HOSTILE if text in one and "\\" not in text}
            assert text in {"/", '"'} or all(text in target or "\\" in text for target in hosts)
        else:
            assert found == (), (field, text)
    assert len(filled.page(Query(limit=500)).entries) == 70 + len(HOSTILE)


@pytest.mark.threat("DAT-1")
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(st.sampled_from([*TEXTS, "kind", "since", "until", "before", "limit"]), st.text(max_size=300)))
def test_anything_at_all_is_answered_or_refused_by_name(filled: Search, wanted: dict[str, str]) -> None:
    refused: set[str] = set()
    query = Query()
    try:
        query = parse_query(wanted)
    except Invalid as error:
        refused = {one.field for one in error.errors}
    assert refused <= set(wanted)
    assert len(filled.page(query).entries) <= query.limit


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("kind", "somebody"),
        ("limit", "0"),
        ("limit", "501"),
        ("limit", "-1"),
        ("limit", "٣"),
        ("since", "yesterday"),
        ("until", "9" * 30),
        ("before", "1e3"),
        ("text", "x" * 201),
        ("text", "a\0b"),
        ("actor", "\ud800"),
    ],
)
def test_a_wrong_filter_is_refused_by_name(field: str, value: str) -> None:
    with pytest.raises(Invalid) as raised:
        parse_query({field: value})
    assert [error.field for error in raised.value.errors] == [field]


def test_moments_may_be_dates_times_or_seconds() -> None:
    assert parse_query({"since": "2026-11-23"}).since == 1795392000
    assert parse_query({"since": "2026-11-23T01:00"}).since == 1795395600
    assert parse_query({"since": "2026-11-23T01:00:00+01:00"}).since == 1795392000
    assert parse_query({"until": "1795392000"}).until == 1795392000
    assert set(KINDS) == {"person", "token", "ansible", "socket", "cli", "system"}


def test_json_lines_hold_every_row(filled: Search) -> None:
    lines = [json.loads(line) for line in json_lines(filled.all(Query()))]
    assert len(lines) == 70 + len(HOSTILE)
    assert [line["target"].removeprefix("host/") for line in lines[70:]] == HOSTILE
    assert lines[2]["actor"] == {"kind": "ansible", "name": "carol", "claim": True}
    assert lines[0]["time"].endswith("Z")


def test_no_cell_of_the_csv_is_a_formula(filled: Search, storage: Storage, audit: Audit) -> None:
    formulas = ("=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\uff1d1")
    with storage.write() as connection:
        for text in formulas:
            audit.record(connection, Actor("admin_api", text, text), text, text, None, {"reason": text})
    table = list(csv.reader(io.StringIO(b"".join(csv_lines(filled.all(Query()))).decode(), newline="")))
    assert table[0][:3] == ["id", "time", "kind"]
    assert len(table) == 1 + 70 + len(HOSTILE) + len(formulas)
    assert {len(row) for row in table} == {10}
    for row in table[1:]:
        assert not any(cell.startswith(("=", "+", "-", "@", "\t", "\r", "\uff1d")) for cell in row)
    assert [row[7] for row in table[-len(formulas) :]] == [f"'{text}" for text in formulas]
