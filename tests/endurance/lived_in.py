"""A guest with a backup of alice's time, and bob and another CA since: which of the two is it?"""

from __future__ import annotations

from pathlib import Path

from dying_guest import ACTOR, KEY, assert_sound
from guest_rig import CADDY_FILES, Guest

NEW_CA = b"-----BEGIN PRIVATE KEY-----\nmade after the backup\n"
PASSWORD = "the password of alice"
_ROOT_KEY = "pki/authorities/local/root.key"


def lived_in(top: Path) -> tuple[Guest, Path]:
    """The guest below ``top``, and its backup."""
    guest = Guest(top, KEY)
    with guest.services() as here:
        here.accounts.create(ACTOR, "alice", "admin", PASSWORD)
        here.secrets.set(ACTOR, "token", "kept in every case")
    made = guest.backup()
    with guest.services() as here:
        here.accounts.create(ACTOR, "bob", "member", "the password of bob")
    guest.settings.caddy_storage.joinpath(_ROOT_KEY).write_bytes(NEW_CA)
    return guest, made


def assert_before_or_restored(guest: Guest, where: object) -> str:
    """It is wholly one of the two, and the doctor is content; say which."""
    assert_sound(guest, where)
    with guest.services() as here:
        people = tuple(account.username for account in here.accounts.list())
        assert here.secrets.reveal("token") == "kept in every case", where
    files = guest.caddy_files()
    assert files.keys() >= CADDY_FILES.keys(), (where, files.keys())
    # Caddy's private keys lie in the clear in what a restore stages.
    for tree in (guest.settings.data_dir, guest.settings.caddy_storage):
        assert not {".restore", "restore.staged"} & {path.name for path in tree.iterdir()}, where
    found = people, files[_ROOT_KEY]
    states = {(("alice", "bob"), NEW_CA): "before", (("alice",), CADDY_FILES[_ROOT_KEY]): "restored"}
    assert found in states, (where, found)
    return states[found]
