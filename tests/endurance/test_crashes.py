"""Killed at any call that changes a file, a guest is the one of before or the one of after, and whole."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path

import pytest
from acknowledged import Writer
from argos.settings import Settings
from dying_guest import ACTOR, KEY, NEXT_KEY, Deaths, assert_sound, finish, kept_as_it_is, put_back
from guest_rig import CADDY_FILES, Guest

pytestmark = pytest.mark.timeout(900)  # hundreds of processes, on a machine that may be busy

NEW_CA = b"-----BEGIN PRIVATE KEY-----\nmade after the backup\n"
PASSWORD = "the password of alice"


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> tuple[Guest, Path]:
    """A guest with a backup of alice's time, and bob and another CA since."""
    guest = Guest(tmp_path_factory.mktemp("crash") / "guest", KEY)
    with guest.services() as here:
        here.accounts.create(ACTOR, "alice", "admin", PASSWORD)
        here.secrets.set(ACTOR, "token", "kept in every case")
    made = guest.backup()
    with guest.services() as here:
        here.accounts.create(ACTOR, "bob", "member", "the password of bob")
    guest.settings.caddy_storage.joinpath("pki/authorities/local/root.key").write_bytes(NEW_CA)
    return guest, made


@pytest.fixture
def archive(prepared: tuple[Guest, Path]) -> Path:
    return prepared[1]


@pytest.fixture
def kept(prepared: tuple[Guest, Path]) -> Iterator[Path]:
    """A copy of the prepared guest, which is put back afterwards."""
    with kept_as_it_is(prepared[0]) as copy:
        yield copy


@pytest.fixture
def guest(prepared: tuple[Guest, Path], kept: Path) -> Guest:
    return prepared[0]


@pytest.mark.threat("DAT-6")
def test_a_backup_killed_at_any_call_leaves_a_whole_one_or_none_and_no_change_is_lost(guest: Guest, kept: Path) -> None:
    old = {path.name for path in guest.settings.backup_dir.glob("*.backup")}
    writer = Writer(guest)
    with writer.at_work():
        deaths = Deaths(guest, "backup", "create", most=60)
    left = set()
    for point in deaths.points:
        put_back(kept, guest.top)
        with writer.at_work():
            deaths.die(point)
        made = [path for path in guest.settings.backup_dir.glob("*.backup") if path.name not in old]
        for path in made:
            finish(guest, "backup", "verify", str(path))
        left.add(len(made))
        finish(guest, "backup", "create")
        assert not list(guest.settings.backup_dir.glob(".argos-*"))
        assert_sound(guest, point)
        with guest.services() as here:
            writer.assert_all_there(here, point)
            assert here.secrets.reveal("token") == "kept in every case", point
    deaths.conclude(30)
    assert left == {0, 1}


@pytest.mark.threat("DAT-6")
def test_a_restore_killed_at_any_call_leaves_the_old_state_or_the_restored_one(
    guest: Guest, kept: Path, archive: Path
) -> None:
    deaths = Deaths(guest, "restore", "--without-services", "--force", str(archive), most=120)
    seen = set()
    for point in deaths.points:
        put_back(kept, guest.top)
        deaths.die(point)
        finish(guest, "restore", "--resume")
        people, authority = state_of(guest, point)
        assert (people, authority) in {
            (("alice", "bob"), NEW_CA),
            (("alice",), CADDY_FILES["pki/authorities/local/root.key"]),
        }, (point, people, authority)
        assert set(guest.caddy_files()) - {".restore"} >= set(CADDY_FILES), point
        seen.add(people)
    deaths.conclude(40)
    assert len(seen) == 2


@pytest.mark.threat("SEC-4")
def test_a_rotation_killed_at_any_call_goes_on_under_the_new_key_and_no_change_is_lost(
    guest: Guest, kept: Path
) -> None:
    command = ("key", "rotate", "--reencrypt")
    keys = {"ARGOS_MASTER_KEY_NEXT": base64.b64encode(NEXT_KEY).decode()}
    writer = Writer(guest, Settings.from_environment({**guest.environment, **keys}))
    with writer.at_work():
        deaths = Deaths(guest, *command, most=50, **keys)
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
    deaths.conclude(30)


def state_of(guest: Guest, where: object) -> tuple[tuple[str, ...], bytes]:
    assert_sound(guest, where)
    with guest.services() as here:
        people = tuple(account.username for account in here.accounts.list())
    return people, guest.settings.caddy_storage.joinpath("pki/authorities/local/root.key").read_bytes()
