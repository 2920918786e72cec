"""The history: what is kept of each change, for how long, and how it reads."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from argos.clock import FixedClock
from argos.edge import revisions
from argos.edge.context import RenderContext
from argos.edge.decode import decode_document
from argos.edge.history import History, diff_lines, diff_text, pack, unpack
from argos.edge.plan import State, plan
from argos.errors import Conflict, NotFound
from argos.scrub import Scrubber
from argos.storage.engine import Storage

CLOCK = FixedClock()
CONTEXT = RenderContext()


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    made = Storage(tmp_path / "argos.db", CLOCK)
    made.migrate()
    return made


def host(name: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "upstreams": [{"url": "http://10.0.0.5:80"}], **more}


def attempt(storage: Storage, hosts: list[dict[str, Any]], *, outcome: str = "active", owner: str = "ansible") -> int:
    """One change as the apply engine notes it."""
    with storage.write() as connection:
        state = revisions.read_state(connection)
        planned = plan(state, decode_document({"owner": owner, "hosts": hosts}))
        number = revisions.begin(connection, planned, "cli:carol", CLOCK.now())
        if outcome == "active":
            revisions.activate(connection, number, planned, CONTEXT, CLOCK.now())
        elif outcome == "failed":
            revisions.fail(connection, number, "Caddy said no to hunter2secret")
    return number


def test_who_when_and_what_of_each_change_is_kept(storage: Storage) -> None:
    history = History(storage, Scrubber(["hunter2secret"]))
    first = attempt(storage, [host("a.home.example")])
    CLOCK.advance(60)
    changed = host("a.home.example", request_headers={"set": {"Authorization": "Bearer hunter2secret"}})
    second = attempt(storage, [changed, host("b.home.example")])
    third = attempt(storage, [host("c.home.example")], outcome="failed")
    newest = history.newest()
    assert [(one.id, one.state, one.actor, one.summary) for one in newest] == [
        (third, "failed", "cli:carol", "1 create"),
        (second, "active", "cli:carol", "1 create, 1 update"),
        (first, "superseded", "cli:carol", "1 create"),
    ]
    assert newest[1].created_at == newest[2].created_at + 60
    assert newest[0].reason == "Caddy said no to [redacted]"
    recorded = history.get(second)
    assert recorded.changes is not None
    assert [(change.action, change.name) for change in recorded.changes] == [
        ("update", "a.home.example"),
        ("create", "b.home.example"),
    ]
    assert "hunter2secret" not in str(recorded)
    assert "hunter2secret" in json.dumps(history.state_of(second).hosts()[0].request_headers.set)
    assert [one.id for one in history.newest(before=third, limit=1)] == [second]


def test_a_state_comes_back_as_it_was_and_only_one_that_was_in_force(storage: Storage) -> None:
    history = History(storage, Scrubber())
    first = attempt(storage, [host("a.home.example")], owner="x")
    with storage.read() as connection:
        state = revisions.read_state(connection)
    failed = attempt(storage, [host("b.home.example")], outcome="failed")
    attempt(storage, [host("a.home.example", access_log=False)])
    assert history.state_of(first) == state
    assert history.state_of(first).resources["host", "a.home.example"].owner == "x"
    with pytest.raises(Conflict, match="was never in force"):
        history.state_of(failed)
    with pytest.raises(NotFound):
        history.get(999)


def test_what_an_earlier_version_kept_is_still_read(storage: Storage) -> None:
    state = plan(State(), decode_document({"hosts": [host("a.home.example")]})).state
    assert unpack(state.as_json()) == (state, None)
    assert unpack(pack(state, ())) == (state, ())


def test_no_more_is_kept_than_so_many_and_so_much(storage: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(revisions, "KEPT", 5)
    history = History(storage, Scrubber())
    numbers = [attempt(storage, [host("a.home.example", access_log=bool(n % 2))]) for n in range(12)]
    assert [one.id for one in history.newest()] == numbers[:-6:-1]
    # An active one is never dropped, however many refusals follow it.
    refused = [attempt(storage, [host(f"h{n}.home.example")], outcome="failed") for n in range(8)]
    kept = [one.id for one in history.newest()]
    assert numbers[-1] in kept
    assert kept == [*refused[:-6:-1], numbers[-1]]

    with storage.read() as connection:
        size = connection.exec_driver_sql("SELECT max(length(resources)) FROM revisions").scalar_one()
    monkeypatch.setattr(revisions, "KEPT_BYTES", size * 2)
    last = attempt(storage, [host("last.home.example")], outcome="failed")
    kept = [one.id for one in history.newest()]
    assert numbers[-1] in kept
    assert last in kept
    assert len(kept) <= 4


def test_500_revisions_of_a_thousand_hosts_stay_below_the_bound() -> None:
    hosts = [host(f"h{n}.home.example", auth={"required": True}, waf={"mode": "block"}) for n in range(1000)]
    planned = plan(State(), decode_document({"hosts": hosts}))
    kept = pack(planned.state, ())
    assert len(kept) * 300 < revisions.KEPT_BYTES
    assert unpack(kept)[0] == planned.state


def test_a_difference_reads_as_lines() -> None:
    before = plan(State(), decode_document({"hosts": [host("a.home.example"), host("b.home.example")]})).state
    wanted = {"hosts": [host("a.home.example", access_log=False), {"name": "b.home.example", "state": "absent"}]}
    changes = plan(before, decode_document(wanted)).changes
    lines = diff_lines(changes[0])
    assert '-  "access_log": true,' in lines
    assert '+  "access_log": false,' in lines
    text = "\n".join(diff_text(changes))
    assert "update host/a.home.example" in text
    assert "delete host/b.home.example" in text
