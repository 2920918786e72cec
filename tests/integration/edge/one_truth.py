"""Database, history, Caddy, its files and the gate's table say the same: what must hold whatever happened."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection

from argos.doctor.examine import examine
from argos.doctor.finding import Finding
from argos.edge.history import History
from argos.edge.render import render
from argos.edge.revisions import read_state
from argos.storage.tables import gate_hosts, revisions
from edge_rig import Edge
from sqlalchemy import select
from waiting import until


def states(edge: Edge) -> list[str]:
    with edge.storage.read() as connection:
        return list(connection.execute(select(revisions.c.state).order_by(revisions.c.id)).scalars())


def assert_one_truth(edge: Edge) -> set[str]:
    """See that they do, and that the record is whole; return the hosts they say."""
    with edge.storage.read() as connection:
        state = read_state(connection)
        guarded = set(connection.execute(select(gate_hosts.c.host_id)).scalars())
    wanted = json.loads(json.dumps(render(state, edge.context)))
    assert edge.admin.config() == wanted
    assert json.loads((edge.place / "edge/caddy.json").read_text()) == wanted
    assert guarded == {one.name for one in state.hosts() if one.auth.required}
    assert Counter(states(edge))["active"] == 1
    assert "pending" not in states(edge)
    history = History(edge.storage, edge.scrubber)
    active = next(one for one in history.newest(limit=500) if one.state == "active")
    assert history.state_of(active.id) == state
    assert edge.audit.verify() is None
    return {one.name for one in state.hosts()}


def assert_the_doctor_is_content(edge: Edge, where: object, but_for: Collection[str] = ()) -> None:
    """But for CrowdSec, which is declared off, visitors that are all this machine, and Caddy's having been mended."""

    def wrong_now() -> dict[str, Finding]:
        edge.epoch.beat()  # what the runtime does all the time
        found = examine(edge.settings, whole_record=True)
        assert len(found) >= 13, "it looks at less than it did"
        return {finding.name: finding for finding in found if finding.state != "ok" and finding.name not in but_for}

    # Caddy has a host's certificate some time after it answered the load, a minute later where the first try failed.
    until(lambda: "certificates" not in wrong_now(), within=150, told=lambda: (where, wrong_now()))
    wrong = wrong_now()
    assert {"CrowdSec"} <= wrong.keys() <= {"CrowdSec", "client addresses", "configuration"}, (where, wrong)
    assert "configuration" not in wrong or "was corrected" in wrong["configuration"].message, (where, wrong)
