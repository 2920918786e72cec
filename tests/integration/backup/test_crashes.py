"""Killed at any durable step of a backup or a restore, the guest is the old one or the restored one, and whole."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from crash_points import run_apart
from guest_rig import ACTOR, CADDY_FILES, Guest

KEY = bytes(range(32))
NEW_KEY = b"-----BEGIN PRIVATE KEY-----\nmade after the backup\n"


def crash(guest: Guest, kill_at: int, *arguments: str) -> tuple[int, int]:
    """Run a command to its ``kill_at``-th step; return its status and how many steps it took."""
    counts = guest.top / "counts"
    counts.unlink(missing_ok=True)
    status = run_apart(guest.environment, guest.top / "output", arguments, (counts, kill_at))
    return status, counts.stat().st_size


def finish(guest: Guest, *arguments: str) -> None:
    """Run a command that must end well."""
    status = run_apart(guest.environment, guest.top / "output", arguments)
    assert status == 0, (guest.top / "output").read_text()


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> tuple[Guest, Path]:
    """A guest with a backup of alice's time, and bob and another CA since."""
    guest = Guest(tmp_path_factory.mktemp("crash") / "guest", KEY)
    with guest.services() as here:
        here.accounts.create(ACTOR, "alice", "admin", "the password of alice")
    made = guest.backup()
    with guest.services() as here:
        here.accounts.create(ACTOR, "bob", "member", "the password of bob")
    guest.settings.caddy_storage.joinpath("pki/authorities/local/root.key").write_bytes(NEW_KEY)
    return guest, made


@pytest.fixture
def guest(prepared: tuple[Guest, Path]) -> Iterator[Guest]:
    """The prepared guest, put back afterwards: paths stand in its settings, so it is not copied elsewhere."""
    made, _archive = prepared
    kept = made.top.with_name("kept")
    shutil.copytree(made.top, kept)
    yield made
    shutil.rmtree(made.top)
    kept.rename(made.top)


def points(count: int, least: int) -> range:
    """Every step there was; at least ``least`` of them, or the harness has lost sight of something."""
    assert count >= least, count
    return range(1, count + 1)


@pytest.mark.threat("DAT-6")
def test_a_backup_killed_at_any_step_leaves_a_whole_one_or_none(guest: Guest) -> None:
    old = {path.name for path in guest.settings.backup_dir.glob("*.backup")}
    status, count = crash(guest, 0, "backup", "create")
    assert status == 0
    for point in points(count, 10):
        status, _steps = crash(guest, point, "backup", "create")
        assert status == -9
        for path in guest.settings.backup_dir.glob("*.backup"):
            if path.name not in old:
                finish(guest, "backup", "verify", str(path))
                path.unlink()
        with guest.services() as here:
            assert here.audit.verify() is None, point
    finish(guest, "backup", "create")
    assert not list(guest.settings.backup_dir.glob(".argos-*"))


@pytest.mark.threat("DAT-6")
def test_a_restore_killed_at_any_step_leaves_the_old_state_or_the_restored_one(
    guest: Guest, prepared: tuple[Guest, Path]
) -> None:
    command = ("restore", "--without-services", "--force", str(prepared[1]))
    kept = guest.top.with_name("before")
    shutil.copytree(guest.top, kept)
    status, count = crash(guest, 0, *command)
    assert status == 0
    seen = set()
    for point in points(count, 40):
        shutil.rmtree(guest.top)
        shutil.copytree(kept, guest.top)
        status, _steps = crash(guest, point, *command)
        assert status == -9
        finish(guest, "restore", "--resume")
        people, authority = state_of(guest)
        assert (people, authority) in {
            (("alice", "bob"), NEW_KEY),
            (("alice",), CADDY_FILES["pki/authorities/local/root.key"]),
        }, (point, people, authority)
        assert set(guest.caddy_files()) - {".restore"} >= set(CADDY_FILES), point
        seen.add(people)
    assert len(seen) == 2
    shutil.rmtree(kept)


def state_of(guest: Guest) -> tuple[tuple[str, ...], bytes]:
    with guest.services() as here:
        assert here.audit.verify() is None
        people = tuple(account.username for account in here.accounts.list())
    return people, guest.settings.caddy_storage.joinpath("pki/authorities/local/root.key").read_bytes()
