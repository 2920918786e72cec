"""Rotation of keys: nothing is lost, and whoever is killed half-way goes on (SEC-4)."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from argos.accounts import Passwords
from argos.accounts.passwords import PasswordHash
from argos.audit import Actor, Audit
from argos.clock import FixedClock
from argos.errors import Conflict
from argos.key_rotation import BATCH, SEALED, KeyRotation, Progress
from argos.named_secrets import NamedSecrets
from argos.scrub import Scrubber
from argos.storage.engine import Storage
from argos.storage.tables import data_keys, metadata, named_secrets, oidc_pending, recovery_codes, totp, users
from argos.vault import BrokenSeal, Vault, WrongMasterKey, envelope_key_version, key_id
from sqlalchemy import LargeBinary, insert, select, update

from .conftest import MASTER_KEY

KEYS = [bytes([number]) * 32 for number in (101, 102, 103)]
ACTOR = Actor(kind="cli", name="root")
# Columns of bytes that hold no envelope of the vault: hashes, and keys that the master key itself wraps.
NOT_SEALED = {"panel_token_hash", "edge_token_hash", "token_hash", "state_hash", "browser_hash"}
NOT_SEALED |= {"wrapped", "previous", "hash"}


def test_every_column_of_envelopes_is_known_to_the_rotation() -> None:
    binary = {
        column for table in metadata.tables.values() for column in table.columns if isinstance(column.type, LargeBinary)
    }
    sealed = {column for column in binary if column.name not in NOT_SEALED}
    assert {one.column for one in SEALED} == sealed, (
        "add the column to key_rotation.SEALED, or say it holds no envelope"
    )


def fill(storage: Storage, vault: Vault, secrets: int = 3) -> None:
    """People and secrets of every kind."""
    with storage.write() as connection:
        for number in range(1, secrets + 1):
            user = {"id": number, "username": f"u{number}", "role": "member", "created_at": 0, "updated_at": 0}
            connection.execute(insert(users).values(**user))
            place = str(number)
            sealed = vault.seal("totp", "secret", place, b"totp%d" % number)
            connection.execute(insert(totp).values(user_id=number, secret=sealed, created_at=0))
            sealed = vault.seal("recovery_codes", "codes", place, b"codes%d" % number)
            connection.execute(insert(recovery_codes).values(user_id=number, codes=sealed, created_at=0))
            sealed = vault.seal("named_secrets", "sealed", f"s{number}", b"secret-value-%d" % number)
            row = {"name": f"s{number}", "version": 1, "sealed": sealed, "updated_at": 0}
            connection.execute(insert(named_secrets).values(**row))
            state = number.to_bytes(32, "big")
            sealed = vault.seal("oidc_pending", "sealed", state.hex(), b"pending%d" % number)
            row = {"state_hash": state, "browser_hash": state, "sealed": sealed, "created_at": 0}
            connection.execute(insert(oidc_pending).values(**row))


def check(storage: Storage, vault: Vault, secrets: int = 3) -> None:
    """Everything that :func:`fill` stored opens."""
    with storage.read() as connection:
        for one in SEALED:
            rows = connection.execute(select(one.table).where(one.column.is_not(None))).all()
            assert len(rows) == secrets or one.table.name == "sessions"
            for row in rows:
                assert vault.open(one.table.name, one.column.name, one.place(row), row._mapping[one.column.name])


@pytest.mark.threat("SEC-4")
def test_after_three_rotations_old_rows_verify_secrets_open_and_passwords_fit(storage: Storage) -> None:
    vault = Vault(storage, MASTER_KEY)
    audit = Audit(storage, vault, Scrubber())
    NamedSecrets(storage, vault, audit, Scrubber()).set(ACTOR, "day-one", "a-day-one-secret")
    fill(storage, vault)
    hashed = [Passwords(vault, cost=4).hash("correct horse battery")]
    for number, new in enumerate(KEYS):
        vault = Vault(storage, [MASTER_KEY, *KEYS][number], new)
        rotation = KeyRotation(storage, vault, Audit(storage, vault, Scrubber()))
        assert rotation.rewrap(ACTOR, new) is True
        assert rotation.rewrap(ACTOR, new) is False
        done = rotation.reencrypt(ACTOR)
        assert (done.secrets, done.broken, done.key_version) == (13, (), number + 2)
        vault = Vault(storage, new)
        hashed.append(Passwords(vault, cost=4).hash("correct horse battery"))
    assert [one.key_version for one in hashed] == [1, 2, 3, 4]
    assert all(Passwords(vault, cost=4).verify("correct horse battery", one) for one in hashed)
    assert not Passwords(vault, cost=4).verify("wrong", PasswordHash(hashed[0].text, 1))
    audit = Audit(storage, vault, Scrubber())
    assert audit.verify() is None
    secrets = NamedSecrets(storage, vault, audit, Scrubber())
    assert secrets.reveal("day-one") == "a-day-one-secret"
    with storage.read() as connection:
        for one in SEALED:
            rows = connection.execute(select(one.table).where(one.column.is_not(None))).all()
            assert {envelope_key_version(row._mapping[one.column.name]) for row in rows} <= {4}
    for old in (MASTER_KEY, *KEYS[:-1]):
        with pytest.raises(WrongMasterKey):
            Vault(storage, old)


@pytest.mark.threat("SEC-4")
def test_a_process_with_both_keys_goes_on_over_a_rotation_by_another(storage: Storage) -> None:
    serving = Vault(storage, MASTER_KEY, KEYS[0])
    fill(storage, serving)
    elsewhere = Vault(storage, MASTER_KEY, KEYS[0])
    rotation = KeyRotation(storage, elsewhere, Audit(storage, elsewhere, Scrubber()))
    rotation.rewrap(ACTOR, KEYS[0])
    rotation.reencrypt(ACTOR)
    check(storage, serving)
    assert serving.key_id == key_id(KEYS[0])
    assert serving.key("vault")[0] == 2
    only_old = Vault.__new__(Vault)
    with pytest.raises(WrongMasterKey, match=key_id(KEYS[0])):
        only_old.__init__(storage, MASTER_KEY)
    assert Vault(storage, KEYS[0]).add_version("vault") == 3
    assert serving.add_version("vault") == 4


@pytest.mark.threat("SEC-4")
def test_what_the_old_key_wrapped_is_in_no_file_any_more(storage: Storage, database: Path) -> None:
    vault = Vault(storage, MASTER_KEY, KEYS[0])
    with storage.read() as connection:
        wrapped = list(connection.scalars(select(data_keys.c.wrapped)))
    found = b"".join(path.read_bytes() for path in database.parent.iterdir())
    assert all(one in found for one in wrapped)
    KeyRotation(storage, vault, Audit(storage, vault, Scrubber())).rewrap(ACTOR, KEYS[0])
    found = b"".join(path.read_bytes() for path in database.parent.iterdir())
    assert not any(one in found for one in wrapped)


def test_the_same_key_again_is_refused(storage: Storage) -> None:
    vault = Vault(storage, MASTER_KEY)
    with pytest.raises(Conflict, match="in use already"):
        KeyRotation(storage, vault, Audit(storage, vault, Scrubber())).rewrap(ACTOR, MASTER_KEY)


def test_a_value_that_does_not_open_is_named_left_alone_and_stops_nothing(storage: Storage) -> None:
    vault = Vault(storage, MASTER_KEY)
    fill(storage, vault)
    with storage.write() as connection:
        connection.execute(update(named_secrets).where(named_secrets.c.name == "s2").values(sealed=b"\1\0\0\0\1broken"))
    done = KeyRotation(storage, vault, Audit(storage, vault, Scrubber())).reencrypt(ACTOR)
    assert done.broken == ("named_secrets.sealed of s2",)
    assert done.secrets == 11
    with storage.read() as connection:
        assert connection.scalar(select(named_secrets.c.sealed).where(named_secrets.c.name == "s2")).endswith(b"broken")


def test_progress_counts_to_the_end_in_small_transactions(storage: Storage) -> None:
    vault = Vault(storage, MASTER_KEY)
    fill(storage, vault, BATCH + 1)
    seen: list[Progress] = []
    rotation = KeyRotation(storage, vault, Audit(storage, vault, Scrubber()))
    rotation.begin(ACTOR)
    assert rotation.unfinished() == 2
    assert rotation.left() == (BATCH + 1) * 4
    rotation.reencrypt(ACTOR, seen.append)
    assert [one.done for one in seen][-1] == (BATCH + 1) * 4 == seen[-1].total
    assert len(seen) == 8
    assert (rotation.left(), rotation.unfinished()) == (0, None)


# A rotation in a process of its own that kills itself at the n-th commit, before it (even n) or after it (odd n).
ROTATE = """
import os, signal, sys
from pathlib import Path
from sqlalchemy import event
from argos.audit import Actor, Audit
from argos.clock import FixedClock
from argos.key_rotation import KeyRotation
from argos.scrub import Scrubber
from argos.storage.engine import Storage
from argos.vault import Vault
import argos.key_rotation
argos.key_rotation.BATCH = 2
point, seen = int(sys.argv[2]), 0
def commit(connection):
    global seen
    if seen == point:
        os.kill(os.getpid(), signal.SIGKILL)
    seen += 1
    connection.connection.dbapi_connection.commit()
    if seen == point:
        os.kill(os.getpid(), signal.SIGKILL)
    seen += 1
storage = Storage(Path(sys.argv[1]), FixedClock())
vault = Vault(storage, bytes(range(32)), bytes([101]) * 32)
event.listen(storage._writer, "commit", commit)
rotation = KeyRotation(storage, vault, Audit(storage, vault, Scrubber()))
rotation.rewrap(Actor("cli", "root"), bytes([101]) * 32)
rotation.reencrypt(Actor("cli", "root"))
print(seen)
"""


def rotate(database: Path, point: int) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", ROTATE, str(database), str(point)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={"PATH": os.environ["PATH"]},
    )


@pytest.mark.long
@pytest.mark.threat("SEC-4")
def test_a_rotation_killed_at_any_commit_resumes(storage: Storage, database: Path, tmp_path: Path) -> None:
    vault = Vault(storage, MASTER_KEY)
    fill(storage, vault)
    Audit(storage, vault, Scrubber())
    storage.close()
    copy = tmp_path / "copy.db"
    shutil.copyfile(database, copy)
    whole = rotate(copy, -1)
    assert whole.returncode == 0, whole.stderr
    points = int(whole.stdout)
    # rewrap; new data keys; four kinds of two batches and an empty one each, of sessions one; the end; two a commit
    assert points == 2 * (2 + 4 * 3 + 1 + 1)
    for point in range(points):
        shutil.copyfile(database, copy)
        for leftover in ("copy.db-wal", "copy.db-shm"):
            (tmp_path / leftover).unlink(missing_ok=True)
        killed = rotate(copy, point)
        assert killed.returncode == -signal.SIGKILL, (point, killed.stderr)
        opened = Storage(copy, FixedClock())
        try:
            half_way = Vault(opened, MASTER_KEY, KEYS[0])
            check(opened, half_way)
            rotation = KeyRotation(opened, half_way, Audit(opened, half_way, Scrubber()))
            rotation.rewrap(ACTOR, KEYS[0])
            if rotation.unfinished() is not None or half_way.key("vault")[0] == 1:
                rotation.reencrypt(ACTOR)
            after = Vault(opened, KEYS[0])
            check(opened, after)
            assert (rotation.left(), rotation.unfinished(), after.key("vault")[0]) == (0, None, 2), point
            assert Audit(opened, after, Scrubber()).verify() is None
        finally:
            opened.close()


def test_a_short_value_is_no_envelope() -> None:
    with pytest.raises(BrokenSeal):
        envelope_key_version(b"\1\0")
