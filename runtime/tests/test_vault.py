"""The vault: sealed to a place, never twice alike, and plain about a wrong key."""

from __future__ import annotations

import base64
import threading
from pathlib import Path

import pytest
from argos.audit import Actor
from argos.clock import FixedClock
from argos.named_secrets import NamedSecrets
from argos.storage.engine import Storage
from argos.storage.tables import data_keys
from argos.vault import PURPOSES, BrokenSeal, Vault, WrongMasterKey, key_id
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select, update

from .conftest import MASTER_KEY

OTHER_KEY = bytes(reversed(range(32)))
PLACE = ("named_secrets", "sealed", "cloudflare")


@pytest.mark.threat("SEC-1")
def test_what_was_sealed_opens_at_its_place(vault: Vault) -> None:
    for plain in (b"", b"x", b"a token", bytes(70_000)):
        assert vault.open(*PLACE, vault.seal(*PLACE, plain)) == plain


@pytest.mark.threat("SEC-1")
@pytest.mark.parametrize(
    "place",
    [
        ("named_secrets", "sealed", "smtp"),
        ("named_secrets", "other", "cloudflare"),
        ("users", "sealed", "cloudflare"),
        ("named_secrets", "sealedcloud", "flare"),
    ],
)
def test_a_blob_moved_to_another_place_does_not_open(vault: Vault, place: tuple[str, str, str]) -> None:
    sealed = vault.seal(*PLACE, b"a token")
    with pytest.raises(BrokenSeal, match="does not open"):
        vault.open(*place, sealed)


def test_the_parts_of_a_place_cannot_run_into_one_another(vault: Vault) -> None:
    with pytest.raises(ValueError, match="NUL"):
        vault.seal("a\0b", "c", "d", b"")


@pytest.mark.threat("SEC-1")
def test_every_flipped_bit_and_every_cut_is_noticed(vault: Vault) -> None:
    sealed = vault.seal(*PLACE, b"a token")
    for position in range(len(sealed) * 8):
        altered = bytearray(sealed)
        altered[position // 8] ^= 1 << position % 8
        with pytest.raises(BrokenSeal):
            vault.open(*PLACE, bytes(altered))
    for length in range(len(sealed)):
        with pytest.raises(BrokenSeal):
            vault.open(*PLACE, sealed[:length])


@pytest.mark.threat("SEC-1")
@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=200))
def test_garbage_is_refused_as_broken(vault: Vault, garbage: bytes) -> None:
    with pytest.raises(BrokenSeal):
        vault.open(*PLACE, garbage)


@pytest.mark.threat("SEC-2")
def test_sealing_again_never_gives_the_same(vault: Vault) -> None:
    sealed = [vault.seal(*PLACE, b"a token") for _unused in range(500)]
    assert len({blob[5:17] for blob in sealed}) == 500  # the nonces
    assert len({blob[17:] for blob in sealed}) == 500


@pytest.mark.threat("SEC-1")
def test_neither_secrets_nor_keys_stand_plain_in_the_files(
    vault: Vault, named_secrets: NamedSecrets, actor: Actor, database: Path
) -> None:
    named_secrets.set(actor, "cloudflare", "a-very-secret-token")
    named_secrets.set(actor, "cloudflare", "another-secret-token")
    files = b"".join(path.read_bytes() for path in database.parent.iterdir())
    assert b"cloudflare" in files  # the scan does see what is there
    keys = [vault.key(purpose)[1] for purpose in PURPOSES]
    planted = [b"a-very-secret-token", b"another-secret-token", MASTER_KEY, *keys]
    for value in planted:
        for form in (value, base64.b64encode(value), value.hex().encode()):
            assert form not in files


@pytest.mark.threat("SEC-4")
def test_a_wrong_master_key_is_named_and_changes_nothing(storage: Storage, vault: Vault) -> None:
    with pytest.raises(WrongMasterKey) as raised:
        Vault(storage, OTHER_KEY)
    assert raised.value.wanted == key_id(MASTER_KEY)
    assert raised.value.given == key_id(OTHER_KEY)
    assert key_id(MASTER_KEY) in raised.value.message
    assert base64.b64encode(OTHER_KEY).decode() not in raised.value.message
    assert Vault(storage, MASTER_KEY).key("audit") == vault.key("audit")


def test_keys_of_different_purposes_differ_and_outlive_a_restart(storage: Storage, vault: Vault) -> None:
    again = Vault(storage, MASTER_KEY)
    assert [again.key(purpose) for purpose in PURPOSES] == [vault.key(purpose) for purpose in PURPOSES]
    assert len({vault.key(purpose)[1] for purpose in PURPOSES}) == len(PURPOSES)


@pytest.mark.threat("SEC-4")
def test_after_a_rewrap_only_the_new_master_key_opens(storage: Storage, vault: Vault) -> None:
    sealed = vault.seal(*PLACE, b"a token")
    vault.rewrap(OTHER_KEY)
    assert vault.open(*PLACE, sealed) == b"a token"
    assert Vault(storage, OTHER_KEY).open(*PLACE, sealed) == b"a token"
    with pytest.raises(WrongMasterKey):
        Vault(storage, MASTER_KEY)


@pytest.mark.threat("SEC-4")
def test_an_interrupted_rewrap_leaves_every_key_under_the_old_one(storage: Storage, vault: Vault) -> None:
    with storage.write() as connection:
        # The last key in line is damaged, so the rewrap dies half-way.
        statement = update(data_keys).where(data_keys.c.purpose == "vault")
        good = connection.scalar(select(data_keys.c.wrapped).where(data_keys.c.purpose == "vault"))
        connection.execute(statement.values(wrapped=b"damaged"))
    with pytest.raises(BrokenSeal, match="vault key, version 1"):
        vault.rewrap(OTHER_KEY)
    with storage.write() as connection:
        connection.execute(statement.values(wrapped=good))
    assert Vault(storage, MASTER_KEY).key("backup") == vault.key("backup")
    vault.rewrap(OTHER_KEY)
    assert Vault(storage, OTHER_KEY).key("backup") == vault.key("backup")


def test_a_new_version_is_used_from_now_on_and_the_old_one_still_opens(storage: Storage, vault: Vault) -> None:
    old = vault.seal(*PLACE, b"a token")
    elsewhere = Vault(storage, MASTER_KEY)
    assert elsewhere.add_version("vault") == 2
    new = elsewhere.seal(*PLACE, b"a token")
    assert vault.open(*PLACE, new) == b"a token"  # a version that another process made is looked up
    assert vault.open(*PLACE, old) == b"a token"
    assert new[1:5] == b"\0\0\0\2"


@pytest.mark.threat("SEC-1")
def test_a_wrapped_key_moved_to_another_purpose_is_noticed(storage: Storage, vault: Vault) -> None:
    with storage.write() as connection:
        wrapped = connection.scalar(select(data_keys.c.wrapped).where(data_keys.c.purpose == "backup"))
        connection.execute(update(data_keys).where(data_keys.c.purpose == "audit").values(wrapped=wrapped))
    with pytest.raises(BrokenSeal, match="audit key"):
        Vault(storage, MASTER_KEY)


def test_two_processes_starting_on_a_new_database_agree_on_the_keys(tmp_path: Path) -> None:
    path = tmp_path / "argos.db"
    vaults: list[Vault] = []

    def start() -> None:
        storage = Storage(path, FixedClock())
        storage.migrate()
        vaults.append(Vault(storage, MASTER_KEY))

    threads = [threading.Thread(target=start) for _unused in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({vault.key("password")[1] for vault in vaults}) == 1
    assert len(vaults) == 4
