"""Whenever the power goes, a guest has what it said it had: a change, a backup, a restore, a rotation."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest
from argos.application import Application
from crash_points import traced_apart
from dying_guest import ACTOR, MOST, NEXT_KEY, after_cuts, assert_sound, attempt, finish
from guest_rig import Guest
from lived_in import PASSWORD, assert_before_or_restored
from power_cuts import NAMES_AHEAD, SYNCED, cuts, lose_power

pytestmark = pytest.mark.timeout(900)  # hundreds of processes, on a machine that may be busy


@pytest.mark.threat("DAT-6")
def test_a_restore_that_lost_its_power_leaves_the_old_state_or_the_restored_one(
    guest: Guest, kept: Path, archive: Path
) -> None:
    seen = set()

    def check(where: object, done: bool) -> None:
        finish(guest, "restore", "--resume")
        seen.add(state := assert_before_or_restored(guest, where))
        assert state == "restored" or not done, where

    after_cuts(guest, kept, check, "restore", "--without-services", "--force", str(archive))
    assert seen == {"before", "restored"}


@pytest.mark.threat("DAT-6")
def test_a_backup_that_lost_its_power_is_a_whole_one_or_none(guest: Guest, kept: Path) -> None:
    old = {path.name for path in guest.settings.backup_dir.glob("*.backup")}

    def check(where: object, done: bool) -> None:
        made = [path for path in guest.settings.backup_dir.glob("*.backup") if path.name not in old]
        assert len(made) == 1 or not done, where
        for path in made:
            status, said = attempt(guest, "backup", "verify", str(path))
            assert status == 0, (where, said)
        assert_sound(guest, where)

    after_cuts(guest, kept, check, "backup", "create")


@pytest.mark.threat("SEC-4")
def test_a_rotation_that_lost_its_power_goes_on_under_the_new_key(guest: Guest, kept: Path) -> None:
    keys = {"ARGOS_MASTER_KEY_NEXT": base64.b64encode(NEXT_KEY).decode()}
    command = ("key", "rotate", "--reencrypt")

    def check(where: object, done: bool) -> None:
        rotated = Guest(guest.top, NEXT_KEY)
        if not done:
            finish(guest, *command, **keys)
        assert_sound(rotated, where)
        with rotated.services() as here:
            assert here.secrets.reveal("token") == "kept in every case", where
            assert here.accounts.authenticate("alice", PASSWORD, address="192.0.2.7"), where

    after_cuts(guest, kept, check, *command, **keys)


@pytest.mark.threat("DAT-3")
def test_a_change_that_was_acknowledged_outlives_the_loss_of_power(guest: Guest, kept: Path) -> None:
    acknowledged = guest.top / "run/acknowledged"
    changes = 12

    def change() -> int:
        application = Application.from_settings(guest.settings, password_cost=4)
        for number in range(changes):
            application.secrets.set(ACTOR, "counted", f"value {number}")
            acknowledged.write_text(str(number))
        application.leave_checkpoint()
        application.close()
        return 0

    status, calls = traced_apart(change, guest.top)
    assert status == 0
    told = -1
    for order in (SYNCED, NAMES_AHEAD):
        for moment, disk in cuts(kept, calls, order, MOST):
            notes = [call for call in calls[:moment] if call.name == "write" and call.path == "run/acknowledged"]
            told = int(notes[-1].content) if notes else -1
            lose_power(disk, guest.top, order)
            where = (order, moment, told, calls[moment - 1 : moment + 1])
            with guest.services() as here:
                found = here.secrets.reveal("counted") if "counted" in here.secrets.names() else "value -1"
                assert found in {f"value {told}", f"value {told + 1}"}, where
                assert here.audit.verify() is None, where
                assert here.secrets.reveal("token") == "kept in every case", where
        assert_sound(guest, order)
    assert told == changes - 1
