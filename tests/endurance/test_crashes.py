"""Killed at any call that changes a file, a guest is the one of before or the one of after, and whole."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest
from acknowledged import Writer
from argos.settings import Settings
from dying_guest import NEXT_KEY, assert_sound, deaths_of, finish, put_back
from guest_rig import Guest
from lived_in import PASSWORD, assert_before_or_restored

pytestmark = pytest.mark.timeout(900)  # hundreds of processes, on a machine that may be busy


@pytest.mark.threat("DAT-6")
def test_a_backup_killed_at_any_call_leaves_a_whole_one_or_none_and_no_change_is_lost(guest: Guest, kept: Path) -> None:
    old = {path.name for path in guest.settings.backup_dir.glob("*.backup")}
    writer = Writer(guest.settings, guest.top.with_name("acknowledged"))
    with writer.at_work():
        deaths = deaths_of(guest, "backup", "create", most=40)
    left = set()
    for number, point in enumerate(deaths.points):
        put_back(kept, guest.top)
        with writer.at_work():
            deaths.die(point)
        made = [path for path in guest.settings.backup_dir.glob("*.backup") if path.name not in old]
        for path in made:
            finish(guest, "backup", "verify", str(path))
        left.add(len(made))
        if number % 3 == 0:
            finish(guest, "backup", "create")
            assert not list(guest.settings.backup_dir.glob(".argos-*")), "the next one sweeps"
        assert_sound(guest, point)
        with guest.services() as here:
            writer.assert_all_there(here, point)
            assert here.secrets.reveal("token") == "kept in every case", point
    deaths.conclude()
    assert left == {0, 1}


@pytest.mark.threat("DAT-6")
def test_a_restore_killed_at_any_call_leaves_the_old_state_or_the_restored_one(
    guest: Guest, kept: Path, archive: Path
) -> None:
    deaths = deaths_of(guest, "restore", "--without-services", "--force", str(archive), most=84)
    seen = set()
    for point in deaths.points:
        put_back(kept, guest.top)
        deaths.die(point)
        finish(guest, "restore", "--resume")
        # Caddy's private keys lie in the clear in what a restore unpacks.
        for tree in (guest.settings.data_dir, guest.settings.caddy_storage):
            assert not {".restore", "restore.staged"}.intersection(path.name for path in tree.iterdir()), point
        seen.add(assert_before_or_restored(guest, point))
    deaths.conclude(40)
    assert seen == {"before", "restored"}


@pytest.mark.threat("SEC-4")
def test_a_rotation_killed_at_any_call_goes_on_under_the_new_key_and_no_change_is_lost(
    guest: Guest, kept: Path
) -> None:
    command = ("key", "rotate", "--reencrypt")
    keys = {"ARGOS_MASTER_KEY_NEXT": base64.b64encode(NEXT_KEY).decode()}
    both = Settings.from_environment({**guest.environment, **keys})
    writer = Writer(both, guest.top.with_name("acknowledged"))
    with writer.at_work():
        deaths = deaths_of(guest, *command, most=42, **keys)
    for point in deaths.points:
        put_back(kept, guest.top)
        with writer.at_work():
            deaths.die(point)
        finish(guest, *command, **keys)
        rotated = Guest(guest.top, NEXT_KEY)
        assert_sound(rotated, point)
        with rotated.services() as here:
            writer.assert_all_there(here, point)
            assert here.secrets.reveal("token") == "kept in every case", point
            assert here.accounts.authenticate("alice", PASSWORD, address="192.0.2.7"), point
    deaths.conclude()
