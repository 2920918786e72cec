"""An upgrade from the oldest schema, killed or without power anywhere: the database is the old one or today's."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from argos.storage.upgrade import REVISIONS
from dying_guest import KEY, after_cuts, assert_sound, deaths_of, finish, kept_as_it_is, put_back
from guest_rig import Guest
from old_schema import HOSTS, PASSWORD, content, fill, schema_of, take_back

pytestmark = pytest.mark.timeout(900)  # hundreds of processes, on a machine that may be busy

UPGRADE = ("audit", "verify")
"""Any command that opens the database upgrades it."""


class OldGuest:
    """A guest of the oldest schema, everything that it holds, and a copy of it."""

    def __init__(self, guest: Guest, kept: Path) -> None:
        self.guest, self.kept = guest, kept
        self.database = guest.settings.database
        self._columns = take_back(self.database)
        self._rows = content(self.database, self._columns)
        assert len(self._rows["users"]) == HOSTS + 1
        filled = ("sessions", "named_secrets", "resources", "gate_hosts", "data_keys", "audit")
        assert all(self._rows[name] for name in filled)
        put_back(guest.top, kept)

    def assert_it_can_be_upgraded(self, where: object) -> str:
        """Whatever its schema is by now, which is returned, it has every row, and once it is today's."""
        found = schema_of(self.database)
        assert content(self.database, self._columns) == self._rows, where
        finish(self.guest, *UPGRADE)
        assert schema_of(self.database) == REVISIONS[-1]
        assert content(self.database, self._columns) == self._rows, where
        assert_sound(self.guest, where)
        return found


@pytest.fixture
def old(tmp_path: Path) -> Iterator[OldGuest]:
    guest = Guest(tmp_path / "guest", KEY)
    fill(guest)
    with kept_as_it_is(guest) as kept:
        yield OldGuest(guest, kept)


def test_an_upgrade_killed_at_any_call_loses_nothing(old: OldGuest) -> None:
    deaths = deaths_of(old.guest, *UPGRADE, most=36)
    assert schema_of(old.database) == REVISIONS[-1]
    seen = set()
    for point in deaths.points:
        put_back(old.kept, old.guest.top)
        deaths.die(point)
        seen.add(old.assert_it_can_be_upgraded(point))
    deaths.conclude()
    assert seen == {REVISIONS[0], REVISIONS[-1]}, "never one in between"
    with old.guest.services() as here:
        assert here.accounts.authenticate("alice", PASSWORD, address="192.0.2.7")
        assert here.secrets.reveal("token") == "kept over an upgrade"
        assert len(here.state().hosts()) == HOSTS


def test_an_upgrade_that_lost_its_power_loses_nothing(old: OldGuest) -> None:
    seen = set()

    def check(where: object, done: bool) -> None:
        seen.add(schema := old.assert_it_can_be_upgraded(where))
        assert schema == REVISIONS[-1] or not done, where

    after_cuts(old.guest, old.kept, check, *UPGRADE)
    assert seen == {REVISIONS[0], REVISIONS[-1]}, "never one in between"
