"""An upgrade from the oldest schema: killed at any call, the database is the old one or today's, and has every row."""

from __future__ import annotations

from pathlib import Path

import pytest
from argos.storage.upgrade import REVISIONS
from dying_guest import KEY, assert_sound, deaths_of, finish, kept_as_it_is, put_back
from guest_rig import Guest
from old_schema import HOSTS, PASSWORD, content, fill, schema_of, take_back

pytestmark = pytest.mark.timeout(900)  # hundreds of processes, on a machine that may be busy


def test_an_upgrade_killed_at_any_call_loses_nothing(tmp_path: Path) -> None:
    guest = Guest(tmp_path / "guest", KEY)
    database = guest.settings.database
    fill(guest)
    columns = take_back(database)
    before = content(database, columns)
    assert len(before["users"]) == HOSTS + 1
    assert all(before[name] for name in ("sessions", "named_secrets", "resources", "gate_hosts", "data_keys", "audit"))
    seen = set()
    with kept_as_it_is(guest) as kept:
        deaths = deaths_of(guest, "audit", "verify", most=36)
        assert schema_of(database) == REVISIONS[-1]
        for point in deaths.points:
            put_back(kept, guest.top)
            deaths.die(point)
            seen.add(schema_of(database))
            assert content(database, columns) == before, point
            finish(guest, "audit", "verify")
            assert schema_of(database) == REVISIONS[-1]
            assert content(database, columns) == before, point
            assert_sound(guest, point)
        deaths.conclude()
        with guest.services() as here:
            assert here.accounts.authenticate("alice", PASSWORD, address="192.0.2.7")
            assert here.secrets.reveal("token") == "kept over an upgrade"
            assert len(here.state().hosts()) == HOSTS
    assert seen == {REVISIONS[0], REVISIONS[-1]}, "never one in between"
