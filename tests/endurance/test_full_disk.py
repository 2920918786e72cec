"""The disk fills up in the middle, at many places: what was said to be done is done, and nothing is half-done.

Backup and restore look first whether there is room, and say so; here that look sees enough, as if others
filled the disk right after it.
"""

from __future__ import annotations

import base64
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from argos.backup import restore, service
from argos.storage.upgrade import REVISIONS
from dying_guest import ACTOR, KEY, NEXT_KEY, assert_sound, attempt, finish, kept_as_it_is, put_back
from guest_rig import CADDY_FILES, Guest
from old_schema import content, fill, schema_of, take_back
from small_disk import SmallDisk, levels

pytestmark = pytest.mark.timeout(900)  # hundreds of processes, on a machine that may be busy

PASSWORD = "the password of alice"
MOST = 2000
"""Pages: 8 MiB are enough for everything here."""
ON_A_SMALL_DISK = ("disk",)
"""Of a disk as small as this one always is the doctor warns."""


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    place = tmp_path / "guest"
    place.mkdir()
    small = SmallDisk(place, 16)
    with small.mounted():
        yield small


@pytest.fixture
def guest(disk: SmallDisk) -> Guest:
    """A guest of which everything lies on the small disk, with alice and a secret."""
    made = Guest(disk.place, KEY)
    with made.services() as here:
        here.accounts.create(ACTOR, "alice", "admin", PASSWORD)
        here.secrets.set(ACTOR, "token", "kept in every case")
    return made


@pytest.fixture
def unwarned(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the look whether there is room see 1 TiB more than there is."""
    for module in (service, restore):
        monkeypatch.setattr(module, "RESERVE", -(2**40))


def backup(guest: Guest) -> Path:
    """Make one; in a fork, which the fixture ``unwarned`` reaches."""
    status, said = attempt(guest, "backup", "create")
    assert status == 0, said
    return guest.settings.backup_dir / said.split()[0]


def fill_up(disk: SmallDisk, guest: Guest, check: Callable[[int, bool], None], *command: str, **keys: str) -> None:
    """Run ``command`` with ever more room until it has enough; after each try there is space again, and ``check``.

    ``check`` gets the pages that were free, and whether the command said that it was done.
    """
    failures = 0
    for pages in levels(MOST):
        with disk.filled(pages):
            status, said = attempt(guest, *command, **keys)
        assert status in {0, 1, 69}, (pages, said)
        assert len(said.splitlines()) < 5 or status == 0, said
        check(pages, status == 0)
        if status == 0:
            break
        failures += 1
        assert said.splitlines()[-1].startswith("argos: "), said
    else:
        pytest.fail("never enough room")
    assert failures >= 8, "it needs hardly any room: the disk was not full where it mattered"


@pytest.mark.threat("DAT-6")
@pytest.mark.usefixtures("unwarned")
def test_a_backup_on_a_disk_that_fills_up_is_a_whole_one_or_none(disk: SmallDisk, guest: Guest) -> None:
    def check(pages: int, done: bool) -> None:
        found = list(guest.settings.backup_dir.iterdir())
        assert [path for path in found if path.name != ".lock"] == list(guest.settings.backup_dir.glob("*.backup")), (
            pages
        )
        archives = list(guest.settings.backup_dir.glob("*.backup"))
        assert len(archives) == done, pages
        for path in archives:
            finish(guest, "backup", "verify", str(path))
        assert_sound(guest, pages, (*ON_A_SMALL_DISK, *([] if done else ["backups"])))

    fill_up(disk, guest, check, "backup", "create")


@pytest.mark.threat("DAT-6")
@pytest.mark.usefixtures("unwarned")
def test_a_restore_on_a_disk_that_fills_up_is_done_or_ends_with_space_again(
    disk: SmallDisk, guest: Guest, tmp_path: Path
) -> None:
    archive = Path(shutil.move(backup(guest), tmp_path))
    with guest.services() as here:
        here.accounts.create(ACTOR, "bob", "member", "the password of bob")
    seen = set()
    with kept_as_it_is(guest) as kept:

        def check(pages: int, done: bool) -> None:
            finish(guest, "restore", "--resume")
            assert_sound(guest, pages, ON_A_SMALL_DISK)
            with guest.services() as here:
                people = tuple(account.username for account in here.accounts.list())
            assert people in {("alice", "bob"), ("alice",)}, pages
            assert not done or people == ("alice",), pages
            assert set(guest.caddy_files()) >= set(CADDY_FILES), pages
            assert people == ("alice", "bob") or (guest.settings.edge_dir / "caddy.json").exists(), pages
            assert not (guest.settings.data_dir / "restore.journal").exists()
            seen.add(people)
            put_back(kept, guest.top)

        fill_up(disk, guest, check, "restore", "--without-services", "--force", str(archive))
    assert len(seen) == 2


@pytest.mark.threat("SEC-4")
def test_a_rotation_on_a_disk_that_fills_up_goes_on_with_space_again(disk: SmallDisk, guest: Guest) -> None:
    keys = {"ARGOS_MASTER_KEY_NEXT": base64.b64encode(NEXT_KEY).decode()}
    command = ("key", "rotate", "--reencrypt")
    with kept_as_it_is(guest) as kept:

        def check(pages: int, done: bool) -> None:
            if not done:
                with guest.services() if under_the_old(guest) else Guest(guest.top, NEXT_KEY).services() as here:
                    assert here.secrets.reveal("token") == "kept in every case", pages
                    assert here.audit.verify() is None
            finish(guest, *command, **keys)
            rotated = Guest(guest.top, NEXT_KEY)
            assert_sound(rotated, pages, ON_A_SMALL_DISK)
            with rotated.services() as here:
                assert here.secrets.reveal("token") == "kept in every case", pages
                assert here.accounts.authenticate("alice", PASSWORD, address="192.0.2.7"), pages
            put_back(kept, guest.top)

        fill_up(disk, guest, check, *command, **keys)


def under_the_old(guest: Guest) -> bool:
    """Whether the data keys are wrapped by the old master key still: all of them, or none."""
    from argos.doctor.key import wanted_ids
    from argos.vault import key_id

    wanted = wanted_ids(guest.settings.database)
    assert wanted in ({key_id(KEY)}, {key_id(NEXT_KEY)})
    return wanted == {key_id(KEY)}


def test_an_upgrade_on_a_disk_that_fills_up_is_whole_or_not_begun(disk: SmallDisk) -> None:
    guest = Guest(disk.place, KEY)
    database = guest.settings.database
    fill(guest)
    columns = take_back(database)
    before = content(database, columns)
    seen = set()
    with kept_as_it_is(guest) as kept:

        def check(pages: int, done: bool) -> None:
            schema = schema_of(database)
            seen.add(schema)
            assert schema == REVISIONS[-1] or not done, pages
            assert content(database, columns) == before, pages
            finish(guest, "audit", "verify")
            assert schema_of(database) == REVISIONS[-1]
            assert content(database, columns) == before, pages
            assert_sound(guest, pages, ON_A_SMALL_DISK)
            put_back(kept, guest.top)

        fill_up(disk, guest, check, "audit", "verify")
    assert seen == {REVISIONS[0], REVISIONS[-1]}
