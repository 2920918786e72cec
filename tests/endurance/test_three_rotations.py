"""What was made on day one is there after three rotations of the master key, and so is a backup of day one."""

from __future__ import annotations

import base64
import shutil
from pathlib import Path

import pytest
from argos.key_rotation import SEALED
from argos.storage.tables import audit, recovery_codes, totp
from argos.vault import Vault, WrongMasterKey, key_id
from dying_guest import ACTOR, KEY, assert_sound, attempt, finish
from guest_rig import Guest
from sqlalchemy import insert, select

KEYS = [KEY, *(bytes([number]) * 32 for number in (101, 102, 103))]


def live(guest: Guest, day: int) -> None:
    """Somebody with a password and a second factor, and a named secret."""
    with guest.services() as here:
        person = here.accounts.create(ACTOR, f"person-{day}", "admin", f"the password of day {day}")
        here.secrets.set(ACTOR, f"token-{day}", f"the secret of day {day}")
        with here.storage.write() as connection:
            for table, column in ((totp, "secret"), (recovery_codes, "codes")):
                sealed = here.vault.seal(table.name, column, str(person.id), f"{column} of day {day}".encode())
                connection.execute(insert(table).values({"user_id": person.id, column: sealed, "created_at": 0}))


def assert_all_is_there(guest: Guest, days: range) -> None:
    """Every secret opens, every password signs in, and the record is whole."""
    assert_sound(guest, days)
    finish(guest, "audit", "verify")
    with guest.services() as here:
        opened = []
        with here.storage.read() as connection:
            for one in SEALED:
                for row in connection.execute(select(one.table).where(one.column.is_not(None))):
                    sealed = row._mapping[one.column.name]
                    opened.append(here.vault.open(one.table.name, one.column.name, one.place(row), sealed))
        for day in days:
            assert here.secrets.reveal(f"token-{day}") == f"the secret of day {day}"
            assert {f"secret of day {day}".encode(), f"codes of day {day}".encode()} <= set(opened)
            assert here.accounts.authenticate(f"person-{day}", f"the password of day {day}", address="192.0.2.7")
        assert [one.username for one in here.accounts.list()] == [f"person-{day}" for day in days]


def rows_of(guest: Guest) -> list[tuple[object, ...]]:
    """The record, row by row."""
    with guest.services() as here, here.storage.read() as connection:
        return [tuple(row) for row in connection.execute(select(audit).order_by(audit.c.id))]


@pytest.mark.threat("SEC-4")
@pytest.mark.threat("DAT-3")
@pytest.mark.threat("DAT-6")
def test_after_three_rotations_day_one_is_whole_and_its_backup_restores_with_its_own_key(tmp_path: Path) -> None:
    guest = Guest(tmp_path / "guest", KEY)
    live(guest, 0)
    day_one = rows_of(guest)
    archive = Path(shutil.move(guest.backup(), tmp_path))
    for number in (1, 2, 3):
        following = base64.b64encode(KEYS[number]).decode()
        finish(guest, "key", "rotate", "--reencrypt", ARGOS_MASTER_KEY_NEXT=following)
        guest = Guest(guest.top, KEYS[number])
        live(guest, number)
    assert_all_is_there(guest, range(4))
    assert rows_of(guest)[: len(day_one)] == day_one, "not one byte of the rows of day one has changed"
    for old in KEYS[:-1]:
        with guest.services() as here, pytest.raises(WrongMasterKey):
            Vault(here.storage, old)

    command = ("restore", "--without-services", "--force", str(archive))
    for target in (guest, Guest(tmp_path / "fresh", KEYS[-1])):
        status, said = attempt(target, *command)
        assert (status, key_id(KEY) in said) == (1, True), said
        finish(target, *command, ARGOS_FORMER_MASTER_KEY=base64.b64encode(KEY).decode())
        assert_all_is_there(target, range(1))
        assert rows_of(target)[: len(day_one)] == day_one
        with target.services() as here, pytest.raises(WrongMasterKey):
            Vault(here.storage, KEY)
