"""Asking for a backup from a process that may not make one, and what the record says of it."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from argos.errors import Conflict, Unavailable
from guest_rig import ACTOR, Guest
from sqlalchemy import event

pytestmark = pytest.mark.long

KEY = bytes(range(32))


@pytest.fixture
def guest(tmp_path: Path) -> Guest:
    guest = Guest(tmp_path / "guest", KEY)
    with guest.services():
        return guest


def taken_as_the_unit_does(guest: Guest) -> None:
    guest.settings.backup_request.rename(guest.settings.backup_request.with_name("taken"))


def test_a_request_is_answered_by_the_next_run(guest: Guest) -> None:
    with guest.services() as here:
        request = here.backups.ask_for(ACTOR)
        assert here.backups.run_of(request) is None
        with pytest.raises(Conflict):
            here.backups.ask_for(ACTOR)
        taken_as_the_unit_does(guest)
        done = guest.run("backup", "create", "--requested")
        assert done.returncode == 0, done.stderr
        run = here.backups.run_of(request)
        assert run is not None
        assert (run.state, run.name) == ("ok", here.backups.listing()[0].name)
    assert list(guest.settings.backup_request.parent.glob("*taken*")) == []


def test_a_failure_is_on_record_with_its_reason(guest: Guest) -> None:
    guest.settings.backup_dir.joinpath(".lock").mkdir()
    with guest.services() as here:
        request = here.backups.ask_for(ACTOR)
        taken_as_the_unit_does(guest)
        done = guest.run("backup", "create", "--requested")
        assert done.returncode != 0
        run = here.backups.run_of(request)
        assert run is not None
        assert run.state == "failed"
        assert str(guest.settings.backup_dir) in run.reason
        assert guest.newest_action() == "backup.failed"


def test_two_at_once_are_refused(guest: Guest) -> None:
    with guest.services() as here, here.backups._alone():
        done = guest.run("backup", "create")
    assert done.returncode == 1
    assert "Another backup" in done.stderr


@pytest.mark.parametrize("name", ["../data/argos.db", "argos-20261123T020000Z-1f2e.backup", "", "argos.db"])
def test_a_name_that_is_no_archive_is_not_found(guest: Guest, name: str) -> None:
    done = guest.run("backup", "delete", name)
    assert done.returncode == 66


def nothing_can_be_recorded(guest: Guest) -> None:
    """As on a full disk: each change fails for want of its row."""
    with sqlite3.connect(guest.settings.database) as opened:
        opened.execute("ALTER TABLE audit RENAME TO elsewhere")


def test_what_is_not_on_record_is_not_asked_for(guest: Guest) -> None:
    with guest.services() as here:
        nothing_can_be_recorded(guest)
        with pytest.raises(Unavailable):
            here.backups.ask_for(ACTOR)
    assert list(guest.settings.backup_request.parent.glob("*request*")) == []
    assert list(guest.settings.backup_request.parent.glob(".*")) == []


def test_a_backup_goes_only_behind_its_row(guest: Guest) -> None:
    made = guest.backup()
    there = []
    with guest.services() as here:
        event.listen(here.storage._writer, "commit", lambda _connection: there.append(made.exists()))
        here.backups.drop(ACTOR, made.name)
    assert there == [True], "it went before its row was sure"
    assert not made.exists()


def test_a_failure_that_cannot_be_recorded_is_told_with_its_own_reason(guest: Guest) -> None:
    guest.settings.backup_dir.joinpath(".lock").mkdir()
    nothing_can_be_recorded(guest)
    with guest.services() as here, pytest.raises(Unavailable, match="Is a directory"):
        here.backups.create(ACTOR, {})
