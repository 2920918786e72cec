"""Killed at any durable step, a guest is the one of before or the one of after, and whole."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path

import pytest
from dying_guest import ACTOR, KEY, NEXT_KEY, assert_sound, crash, finish, kept_as_it_is, points, put_back
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
def test_a_backup_killed_at_any_step_leaves_a_whole_one_or_none(guest: Guest) -> None:
    old = {path.name for path in guest.settings.backup_dir.glob("*.backup")}
    status, taken = crash(guest, 0, "backup", "create")
    assert status == 0
    for point in points(taken, 10):
        status, _steps = crash(guest, point, "backup", "create")
        assert status == -9
        for path in guest.settings.backup_dir.glob("*.backup"):
            if path.name not in old:
                finish(guest, "backup", "verify", str(path))
                path.unlink()
        assert_sound(guest.settings, point)
    finish(guest, "backup", "create")
    assert not list(guest.settings.backup_dir.glob(".argos-*"))


@pytest.mark.threat("DAT-6")
def test_a_restore_killed_at_any_step_leaves_the_old_state_or_the_restored_one(
    guest: Guest, kept: Path, archive: Path
) -> None:
    command = ("restore", "--without-services", "--force", str(archive))
    status, taken = crash(guest, 0, *command)
    assert status == 0
    seen = set()
    for point in points(taken, 40):
        put_back(kept, guest.top)
        status, _steps = crash(guest, point, *command)
        assert status == -9
        finish(guest, "restore", "--resume")
        people, authority = state_of(guest)
        assert (people, authority) in {
            (("alice", "bob"), NEW_CA),
            (("alice",), CADDY_FILES["pki/authorities/local/root.key"]),
        }, (point, people, authority)
        assert set(guest.caddy_files()) - {".restore"} >= set(CADDY_FILES), point
        seen.add(people)
    assert len(seen) == 2


@pytest.mark.threat("SEC-4")
def test_a_rotation_killed_at_any_step_goes_on_under_the_new_key(guest: Guest, kept: Path) -> None:
    command = ("key", "rotate", "--reencrypt")
    keys = {"ARGOS_MASTER_KEY_NEXT": base64.b64encode(NEXT_KEY).decode()}
    status, taken = crash(guest, 0, *command, **keys)
    assert status == 0
    for point in points(taken, 10):
        put_back(kept, guest.top)
        status, _steps = crash(guest, point, *command, **keys)
        assert status == -9
        finish(guest, *command, **keys)
        rotated = Guest(guest.top, NEXT_KEY)
        assert_sound(rotated.settings, point)
        with rotated.services() as here:
            assert here.secrets.reveal("token") == "kept in every case", point
            assert here.accounts.authenticate("alice", PASSWORD, address="192.0.2.7"), point


def state_of(guest: Guest) -> tuple[tuple[str, ...], bytes]:
    assert_sound(guest.settings, "after a restore")
    with guest.services() as here:
        people = tuple(account.username for account in here.accounts.list())
    return people, guest.settings.caddy_storage.joinpath("pki/authorities/local/root.key").read_bytes()
