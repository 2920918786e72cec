"""Whoever dies in an apply, process or machine: all is soon one revision, and what was answered is there."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections import Counter
from contextlib import closing
from dataclasses import replace
from functools import partial
from typing import Any

import apply_child
import pytest
from acknowledged import Writer
from argos.application import Application
from argos.clock import SystemClock
from argos.edge.decode import decode_document
from argos.edge.render import render
from argos.edge.revisions import read_state
from argos.storage.engine import Storage
from crash_points import Deaths
from edge_rig import ACTOR, EchoUpstream, Edge
from one_truth import assert_one_truth, assert_the_doctor_is_content
from power_cuts import NAMES_AHEAD, SYNCED, cuts, lose_power

OPEN, NEW = "open.home.example", "new.home.example"


def host(name: str, echo: EchoUpstream, **more: Any) -> dict[str, Any]:
    return {"name": name, "upstreams": [{"url": echo.url}], **more}


@pytest.mark.timeout(900)  # dozens of processes, on a machine that may be busy
def test_killed_at_any_call_of_an_apply_all_is_one_revision_again_and_no_change_is_lost(
    edge: Edge, echo: EchoUpstream, real_gate: subprocess.Popen[bytes]
) -> None:
    edge.apply([host(OPEN, echo)])
    edge.secrets.set(ACTOR, "token", "Bearer of a secret")
    named = {"set": {"Authorization": {"secret": "token"}}}
    wanted = {"owner": "test", "hosts": [host(NEW, echo, auth={"required": True}, request_headers=named)]}
    gone = {"hosts": [{"name": NEW, "state": "absent"}]}
    writer = Writer(edge.settings, edge.place / "written")
    acknowledged = edge.place / apply_child.ACKNOWLEDGED

    def begin_anew() -> None:
        acknowledged.unlink(missing_ok=True)
        edge.engine.apply(ACTOR, decode_document(gone))
        edge.engine.reconcile()  # forgets the secret

    edge.engine.apply(ACTOR, decode_document(wanted))
    begin_anew()
    deaths = Deaths(partial(apply_child.traced_apply, edge, wanted), 45)
    assert assert_one_truth(edge) == {OPEN, NEW}
    assert {call.kind for call in deaths.calls} >= {
        "connect run/admin.sock", "send socket", "fsync data/argos.db-wal", "write run/epoch",
        "unlink credentials/complete", "fsync edge/.caddy.json.new", "rename edge/caddy.json", "fsync edge",
    }  # fmt: skip
    came: Counter[bool] = Counter()
    for number, point in enumerate(deaths.points):
        begin_anew()
        with writer.at_work():
            done = {call.kind for call in deaths.die(point)}
        if number % 6 == 5:  # the machine lost its power: Caddy starts from its file, without the runtime
            edge.stop(kill=True)
            edge.start(edge.place / "edge/caddy.json")
            assert edge.ask(OPEN).status == 200, point
        edge.engine.reconcile()
        hosts = assert_one_truth(edge)
        assert edge.engine.reconcile() is False, point
        assert edge.ask(OPEN).status == 200, point
        came[NEW in hosts] += 1
        # Before Caddy was asked nothing is in force; what the gate was told, or the caller, is for good.
        assert NEW not in hosts or "send socket" in done, point
        assert NEW in hosts or not ("write run/epoch" in done or acknowledged.exists()), point
        assert_the_doctor_is_content(edge, point)
        with closing(Application.from_settings(edge.settings, password_cost=4)) as application:
            writer.assert_all_there(application, point)
    deaths.conclude()
    assert min(came.values()) > 3


def test_what_an_apply_answered_outlives_the_loss_of_power(edge: Edge, echo: EchoUpstream) -> None:
    edge.apply([host(OPEN, echo)])
    before, after = edge.place / "before", edge.place / "after"
    shutil.copytree(edge.place, before, ignore=shutil.ignore_patterns("before", "storage", "*.sock"))
    after.mkdir()
    wanted = {"owner": "test", "hosts": [host(NEW, echo, auth={"required": True})]}
    status, calls = apply_child.traced_apply(edge, wanted, None)
    assert status == 0
    settings = replace(edge.settings, data_dir=after / "data", edge_dir=after / "edge")
    seen: Counter[tuple[bool, bool]] = Counter()
    for order in (SYNCED, NAMES_AHEAD):
        for moment, disk in cuts(before, calls, order, 60):
            lose_power(disk, after, order)
            where = (order, moment, calls[moment - 1 : moment + 1])
            answered = any(call.path == apply_child.ACKNOWLEDGED for call in calls[:moment])
            with closing(Storage(settings.database, SystemClock())) as storage, storage.read() as connection:
                assert storage.damage() is None, where
                state = read_state(connection)
            names = {one.name for one in state.hosts()}
            runs = json.loads((after / "edge/caddy.json").read_text())
            # Caddy starts before the runtime, which then brings it to what the database says.
            up_to_date = runs == json.loads(json.dumps(render(state, edge.context)))
            assert OPEN in names, where
            assert OPEN in json.dumps(runs), where
            assert not answered or (NEW in names and up_to_date), where
            seen[NEW in names, up_to_date] += 1
    assert seen.keys() == {(False, True), (True, False), (True, True)}
