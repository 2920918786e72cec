"""While a restore changes the trees, or was killed at it: who may be at the data, and what becomes of what they made"""

from __future__ import annotations

import fcntl
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from argos.backup import caddy_storage, changeover, hold, swapping
from argos.backup.journal import begin_journal, journal
from argos.clock import SystemClock
from argos.doctor.database import check_database
from argos.edge import credentials
from argos.errors import Conflict, Unavailable
from argos.gate import prepare
from argos.gate.store import Store, StoreUnavailable
from argos.half_restored import JOURNAL
from guest_rig import ACTOR, CADDY_FILES, Guest

pytestmark = pytest.mark.long

KEY = bytes(range(32))
PASSWORD = "the password of alice"
CA = "pki/authorities/local/root.key"


@pytest.fixture
def guest(tmp_path: Path) -> Guest:
    """A guest with a backup of alice's time, and bob and another CA since."""
    guest = Guest(tmp_path / "guest", KEY)
    with guest.services() as here:
        here.accounts.create(ACTOR, "alice", "admin", PASSWORD)
        here.secrets.set(ACTOR, "token", "of the backup")
    guest.backup().rename(guest.top / "the.backup")
    with guest.services() as here:
        here.accounts.create(ACTOR, "bob", "member", "the password of bob")
        here.secrets.set(ACTOR, "token", "of today")
    guest.settings.caddy_storage.joinpath(CA).write_bytes(b"of today")
    return guest


def staged(guest: Guest) -> None:
    """Leave the guest as a restore does that is killed between staging and its journal."""

    def killed() -> None:
        from argos.cli import restore

        restore._change_over = lambda *_unused, **_unused_too: os.kill(os.getpid(), signal.SIGKILL)  # type: ignore[assignment]

    status, said = guest.run_changed(killed, "restore", "--without-services", "--force", str(guest.top / "the.backup"))
    assert status == -signal.SIGKILL, said
    assert (guest.settings.data_dir / ".restore" / "argos.db").exists()
    assert (guest.settings.caddy_storage / ".restore" / CA).exists()


def old_moved_away(guest: Guest) -> None:
    """The journal stands and the old database is in the kept directory; the new one is to come."""
    staged(guest)
    begin_journal(guest.settings)
    found = journal(guest.settings)
    assert found
    kept = guest.settings.data_dir / f"before-restore-{found.stamp}"
    kept.mkdir(mode=0o700)
    guest.settings.database.rename(kept / "argos.db")


def marked_as_moved(guest: Guest) -> None:
    """And that all that was old is there, is on record."""
    old_moved_away(guest)
    next(guest.settings.data_dir.glob("before-restore-*")).joinpath(".moved").touch()


def people_in(database: Path) -> set[str]:
    with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as opened:
        return {row[0] for row in opened.execute("SELECT username FROM users")}


@pytest.mark.threat("DAT-6")
@pytest.mark.parametrize("killed", [old_moved_away, marked_as_moved])
def test_a_command_between_kill_and_resume_is_refused_and_loses_nothing(
    guest: Guest, killed: Callable[[Guest], None]
) -> None:
    killed(guest)
    for command in (["secret", "set", "token", "--stdin"], ["backup", "create"], ["user", "list"], ["serve"]):
        done = subprocess.run(
            [sys.executable, "-m", "argos", *command],
            env={**os.environ, **guest.environment}, input="a new value", capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 69, (command, done.stderr)
        assert "argos restore --resume" in done.stderr
        assert not guest.settings.database.exists(), command
    done = guest.run("restore", "--resume")
    assert done.returncode == 0, done.stderr
    (kept,) = guest.settings.data_dir.glob("before-restore-*")
    assert people_in(kept / "argos.db") == {"alice", "bob"}
    assert people_in(guest.settings.database) == {"alice"}
    assert guest.caddy_files() == CADDY_FILES


@pytest.mark.threat("DAT-6")
@pytest.mark.parametrize("killed", [old_moved_away, marked_as_moved])
def test_what_somebody_made_in_the_middle_is_kept_beside_the_old_state(
    guest: Guest, killed: Callable[[Guest], None]
) -> None:
    killed(guest)
    made = guest.settings.database
    with sqlite3.connect(made) as opened:
        opened.execute("CREATE TABLE strays (name)")
    made.with_name("argos.db-wal").write_bytes(b"a log that belongs to another database")
    pki = guest.settings.caddy_storage / "pki"
    done = guest.run("restore", "--resume")
    assert done.returncode == 0, done.stderr
    (kept,) = guest.settings.data_dir.glob("before-restore-*")
    assert people_in(kept / "argos.db") == {"alice", "bob"}
    assert people_in(made) == {"alice"}
    meanwhile = kept / "made-meanwhile-1"
    assert meanwhile.joinpath("argos.db-wal").read_bytes() == b"a log that belongs to another database"
    meanwhile.joinpath("argos.db-wal").unlink()
    with sqlite3.connect(meanwhile / "argos.db") as opened:
        assert opened.execute("SELECT name FROM sqlite_master").fetchall() == [("strays",)]
    assert pki.joinpath("authorities/local/root.key").read_bytes() == CADDY_FILES[CA]


def test_a_caddy_that_ran_in_the_middle_does_not_hold_the_resume_up(guest: Guest) -> None:
    staged(guest)
    begin_journal(guest.settings)
    found = journal(guest.settings)
    assert found
    storage = guest.settings.caddy_storage
    kept = storage / f"before-restore-{found.stamp}"
    kept.mkdir()
    for name in ("pki", "certificates", "acme"):
        (storage / name).rename(kept / name)
    (kept / ".moved").touch()
    (storage / ".restore" / "acme").rename(storage / "acme")
    (storage / "pki").mkdir()
    (storage / "pki" / "made anew").touch()
    done = guest.run("restore", "--resume")
    assert done.returncode == 0, done.stderr
    assert guest.caddy_files() == CADDY_FILES
    assert (kept / CA).read_bytes() == b"of today"
    assert (kept / "made-meanwhile-1" / "pki" / "made anew").exists()


def test_the_one_shots_and_the_gate_keep_away_from_half_a_restore(
    guest: Guest, capsys: pytest.CaptureFixture[str]
) -> None:
    with guest.services():
        pass
    directory = guest.settings.credentials_dir
    (directory / "complete").touch()
    store = Store(guest.settings.database)
    with pytest.raises(StoreUnavailable, match="nothing has been applied"):
        store.settings()
    (guest.settings.data_dir / JOURNAL).write_bytes(b"{}")

    with pytest.raises(StoreUnavailable, match="restore --resume"):
        store.settings()
    assert credentials.run(guest.environment) == 1
    assert "restore --resume" in capsys.readouterr().err
    assert not (directory / "complete").exists(), "Caddy would start with what half a restore says"
    assert prepare.run(guest.environment) == 0  # it ends the process where it opens the database
    assert "restore --resume" in capsys.readouterr().out
    finding = check_database(guest.settings.database)
    assert (finding.state, "--resume" in finding.advice) == ("failed", True)


@pytest.mark.threat("DAT-6")
@pytest.mark.parametrize("command", [["--dry-run"], ["--without-services", "--force"]])
def test_a_second_restore_is_refused_and_leaves_the_first_ones_staging(guest: Guest, command: list[str]) -> None:
    staged(guest)
    held = hold.take_restore(guest.settings.data_dir)
    assert held is not None
    try:
        done = guest.run("restore", *command, str(guest.top / "the.backup"))
        assert done.returncode == 69
        assert "another `argos restore`" in done.stderr
        resumed = guest.run("restore", "--resume")
        assert (resumed.returncode, "Nothing to complete" in resumed.stdout) == (0, True)
    finally:
        os.close(held)
    assert (guest.settings.data_dir / ".restore" / "argos.db").exists()
    assert (guest.settings.caddy_storage / ".restore" / CA).exists()


@pytest.mark.parametrize("tree", ["data_dir", "caddy_storage"])
def test_staging_that_has_gone_is_an_error_and_not_taken_for_done(guest: Guest, tree: str) -> None:
    staged(guest)
    begin_journal(guest.settings)
    directory: Path = getattr(guest.settings, tree)
    before = {path.name for path in directory.iterdir()} - {".restore"}
    assert swapping.clear(directory)
    done = guest.run("restore", "--resume")
    assert done.returncode in {1, 69}
    assert ".restore lacks" in done.stderr
    assert {path.name for path in directory.iterdir()} >= before, "the old state went, and nothing came"
    assert (guest.settings.data_dir / JOURNAL).exists()


def test_a_restore_waits_for_commands_and_is_refused_while_one_goes_on(guest: Guest) -> None:
    with hold.in_use(guest.settings):
        done = guest.run("restore", "--without-services", "--force", str(guest.top / "the.backup"))
    assert done.returncode == 1
    assert "using the data" in done.stderr
    assert people_in(guest.settings.database) == {"alice", "bob"}
    for directory in (guest.settings.data_dir, guest.settings.caddy_storage):
        names = {path.name for path in directory.iterdir()}
        assert not names & {".restore", "restore.staged", JOURNAL}
    assert guest.run("user", "list").returncode == 0


def test_nobody_begins_while_a_journal_comes_into_force(guest: Guest) -> None:
    with hold.unused(guest.settings), pytest.raises(Unavailable), hold.in_use(guest.settings):
        pass
    with hold.in_use(guest.settings), hold.in_use(guest.settings):
        descriptor = os.open(guest.settings.data_dir / hold.IN_USE_LOCK, os.O_RDWR)
        with pytest.raises(BlockingIOError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.close(descriptor)


def test_a_process_that_is_about_to_change_places_waits_no_longer_than_it_says(
    guest: Guest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hold, "PATIENCE_S", 0.0)
    swapper = caddy_storage.swapper(guest.settings.caddy_storage)
    with hold.in_use(guest.settings), pytest.raises(Conflict):
        changeover.change_over(guest.settings, swapper, SystemClock(), begin=True)
    swapper.abandon()
    assert guest.settings.caddy_storage.joinpath(CA).read_bytes() == b"of today"


@pytest.mark.threat("SEC-1")
def test_what_a_killed_restore_unpacked_is_removed_at_the_next_start(guest: Guest) -> None:
    staged(guest)
    done = guest.run("restore", "--resume")
    assert done.returncode == 0, done.stderr
    assert "were removed" in done.stdout
    for directory in (guest.settings.data_dir, guest.settings.caddy_storage):
        assert not {".restore", "restore.staged"} & {path.name for path in directory.iterdir()}
    assert people_in(guest.settings.database) == {"alice", "bob"}
    assert guest.settings.caddy_storage.joinpath(CA).read_bytes() == b"of today"
    assert "No restore was interrupted" in guest.run("restore", "--resume").stdout


UNITS = ("argos-backup.timer", "argos-backup.path", "argos-backup.service", "argos.service", "argos-gate.service",
         "argos-caddy.service")  # fmt: skip


def systemctl(guest: Guest, fails: str, state: str = "active") -> Path:
    """A stand-in that notes what it is asked and whether the journal stands, and fails at ``fails``.

    Each unit is in ``state``. The real one is at work in tests/e2e/test_y_backup.py.
    """
    script = guest.top / "systemctl"
    script.write_text(
        "#!/bin/sh\n"
        f'echo "$* $(ls {guest.settings.data_dir} | grep -c journal)" >> {guest.top}/asked\n'
        f'case "$*" in show*) echo {state};; {fails}) echo "it does not stop" >&2; exit 1;; esac\n'
    )
    script.chmod(0o755)
    return script


def restore_with(guest: Guest, script: Path) -> tuple[int, str, list[str]]:
    def change() -> None:
        from argos.cli import unit_control

        unit_control.SYSTEMCTL = str(script)

    status, said = guest.run_changed(change, "restore", "--force", str(guest.top / "the.backup"))
    return status, said, guest.top.joinpath("asked").read_text().splitlines()


def test_a_unit_that_is_not_installed_holds_nothing_up(guest: Guest) -> None:
    status, said, _asked = restore_with(guest, systemctl(guest, "'stop argos-backup.service'*", "inactive"))
    assert status == 0, said


@pytest.mark.parametrize("state", ["active", "deactivating"])
def test_a_unit_that_does_not_stop_ends_the_restore_before_anything_is_touched(guest: Guest, state: str) -> None:
    status, said, asked = restore_with(guest, systemctl(guest, "'stop argos-backup.service'*", state))
    assert status == 69, said
    assert "Nothing was restored" in said
    assert "it does not stop" in said
    assert people_in(guest.settings.database) == {"alice", "bob"}
    for directory in (guest.settings.data_dir, guest.settings.caddy_storage):
        assert not {".restore", "restore.staged", JOURNAL} & {path.name for path in directory.iterdir()}
    assert [line.split()[0] for line in asked[-6:]] == ["restart", "start", "start", "start", "start", "start"]


def test_all_that_is_at_the_data_stands_still_before_the_journal_and_runs_behind_it(guest: Guest) -> None:
    status, said, asked = restore_with(guest, systemctl(guest, "'is-active --quiet argos-backup.path'"))
    assert status == 0, said
    assert people_in(guest.settings.database) == {"alice"}
    stopped = [unit for line in asked if line.startswith("stop ") for unit in line.split()[1:-1]]
    assert stopped == list(UNITS)
    assert {line.split()[-1] for line in asked} == {"0"}, "a unit was handled while a journal stood"
    started = [line.split()[1] for line in asked if line.startswith(("start ", "restart "))]
    assert started == [
        "argos-credentials.service", "argos-caddy.service", "argos-gate.service", "argos.service", "argos-backup.timer",
    ], "what did not run before is started, or what ran is not"  # fmt: skip


@pytest.mark.threat("SEC-3")
@pytest.mark.parametrize("work", ["collect", "stage", "swap", "clear"])
def test_the_helper_of_caddys_user_is_a_program_of_its_own_without_the_key(
    guest: Guest, monkeypatch: pytest.MonkeyPatch, work: str
) -> None:
    for name, value in guest.environment.items():
        monkeypatch.setenv(name, value)
    tells = "import os, sys; print(sys.argv[1:], dict(os.environ), flush=True)"
    monkeypatch.setattr(caddy_storage, "HELPER", [sys.executable, "-I", "-c", tells])
    child = caddy_storage.Child(guest.settings.caddy_storage, work)
    said = child.finish().decode()
    assert f"['{work}', '{guest.settings.caddy_storage}']" in said
    assert "ARGOS" not in said
    assert guest.environment["ARGOS_MASTER_KEY"] not in said


def test_a_name_that_leads_out_of_caddys_storage_is_refused_by_the_helper_itself(guest: Guest) -> None:
    storage = guest.settings.caddy_storage
    for name in ("../elsewhere", "pki/../../elsewhere", "/etc/elsewhere", "pki//x", "."):
        child = caddy_storage.stager(storage)
        caddy_storage.stage(child, name, 1, iter([b"x"]))
        with pytest.raises(caddy_storage.StorageTrouble, match="leads elsewhere"):
            caddy_storage.staged(child)
        child.abandon()
    for stamp, top in (("../x", "pki"), ("x", "../pki")):
        child = caddy_storage.swapper(storage)
        with pytest.raises(caddy_storage.StorageTrouble, match="leads elsewhere"):
            caddy_storage.swap(child, stamp, [top])
        child.abandon()
    assert not (guest.top / "elsewhere").exists()
    assert not (storage / ".restore").exists()
