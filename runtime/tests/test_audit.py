"""The audit's chain: whatever is done to it by hand shows (DAT-3)."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from argos.audit import HEAD, Actor, Audit
from argos.clock import FixedClock
from argos.scrub import Scrubber
from argos.storage.engine import Storage
from argos.storage.tables import audit as table
from argos.storage.tables import meta
from argos.vault import Vault
from sqlalchemy import delete, insert, select, update

pytestmark = pytest.mark.threat("DAT-3")


def _fill(storage: Storage, audit: Audit, actor: Actor, rows: int = 5) -> None:
    for number in range(rows):
        with storage.write() as connection:
            audit.record(connection, actor, "host.update", f"host/{number}", {"n": number}, {"n": number + 1})


def _tamper(storage: Storage, *statements: Any) -> None:
    with storage.write() as connection:
        for statement in statements:
            connection.execute(statement)


def test_an_untouched_chain_is_sound(storage: Storage, audit: Audit, actor: Actor) -> None:
    assert audit.verify() is None
    _fill(storage, audit, actor)
    assert audit.verify() is None


def test_a_row_says_who_did_what_and_when(storage: Storage, audit: Audit, clock: FixedClock) -> None:
    clock.advance(7)
    alice = Actor(kind="user", name="alice", address="203.0.113.7")
    with storage.write() as connection:
        identity = audit.record(connection, alice, "host.delete", "host/a", before={"b": 1, "a": 2})
    with storage.read() as connection:
        row = connection.execute(select(table)).one()
    assert (row.id, row.at, row.actor, row.address) == (identity, clock.now(), "user:alice", "203.0.113.7")
    assert (row.action, row.target, row.before, row.after) == ("host.delete", "host/a", '{"a":2,"b":1}', None)


def test_the_row_lives_and_dies_with_the_mutation(storage: Storage, audit: Audit, actor: Actor) -> None:
    def fail() -> None:
        with storage.write() as connection:
            audit.record(connection, actor, "host.update", "host/a")
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    with storage.read() as connection:
        assert connection.execute(select(table)).all() == []
    assert audit.verify() is None


@pytest.mark.parametrize(
    "column",
    ["at", "actor", "address", "action", "target", "before", "after", "key_version", "previous", "hash"],
)
def test_an_altered_column_shows(storage: Storage, audit: Audit, actor: Actor, column: str) -> None:
    _fill(storage, audit, actor)
    value: Any = 7 if column in {"at", "key_version"} else bytes(31) + b"\1" if column in {"previous", "hash"} else "x"
    _tamper(storage, update(table).where(table.c.id == 3).values({column: value}))
    assert audit.verify() == 3


@pytest.mark.parametrize("removed", [1, 3, 5])
def test_a_removed_row_shows_the_last_one_too(storage: Storage, audit: Audit, actor: Actor, removed: int) -> None:
    _fill(storage, audit, actor)
    _tamper(storage, delete(table).where(table.c.id == removed))
    assert audit.verify() == removed


def test_a_removed_last_row_shows_also_after_more_was_recorded(storage: Storage, audit: Audit, actor: Actor) -> None:
    _fill(storage, audit, actor)
    _tamper(storage, delete(table).where(table.c.id == 5))
    _fill(storage, audit, actor, rows=2)
    assert audit.verify() == 5


def test_a_head_set_back_by_hand_shows_also_after_more_was_recorded(
    storage: Storage, audit: Audit, actor: Actor
) -> None:
    _fill(storage, audit, actor)
    with storage.read() as connection:
        fourth = connection.execute(select(table).where(table.c.id == 4)).one()
    forged = f"4:{fourth.hash.hex()}:1:{'0' * 64}"
    _tamper(storage, delete(table).where(table.c.id == 5), update(meta).where(meta.c.key == HEAD).values(value=forged))
    assert audit.verify() == 5
    _fill(storage, audit, actor, rows=2)
    assert audit.verify() == 5


@pytest.mark.parametrize("head", [None, "", "nonsense", "5:zz:1:00", "5:00:99:00"])
def test_a_damaged_head_shows_and_stops_nobody(storage: Storage, audit: Audit, actor: Actor, head: str | None) -> None:
    _fill(storage, audit, actor)
    at_head = meta.c.key == HEAD
    _tamper(storage, delete(meta).where(at_head) if head is None else update(meta).where(at_head).values(value=head))
    assert audit.verify() == 6
    _fill(storage, audit, actor, rows=2)
    assert audit.verify() == 6


def test_two_exchanged_rows_show(storage: Storage, audit: Audit, actor: Actor) -> None:
    _fill(storage, audit, actor)
    _tamper(
        storage,
        update(table).where(table.c.id == 2).values(id=100),
        update(table).where(table.c.id == 3).values(id=2),
        update(table).where(table.c.id == 100).values(id=3),
    )
    assert audit.verify() == 2


def test_an_added_row_shows_and_stops_nobody(storage: Storage, audit: Audit, actor: Actor) -> None:
    _fill(storage, audit, actor)
    with storage.read() as connection:
        last = connection.execute(select(table).where(table.c.id == 5)).one()
    forged = last._asdict() | {"id": 6, "previous": last.hash, "hash": bytes(32)}
    _tamper(storage, insert(table).values(forged))
    assert audit.verify() == 6
    _fill(storage, audit, actor, rows=2)
    assert audit.verify() == 6


def test_rows_under_an_older_key_stay_verifiable(storage: Storage, audit: Audit, actor: Actor, vault: Vault) -> None:
    _fill(storage, audit, actor)
    vault.add_version("audit")
    _fill(storage, audit, actor)
    assert audit.verify() is None
    with storage.read() as connection:
        assert set(connection.scalars(select(table.c.key_version))) == {1, 2}


def test_many_writers_make_one_chain(storage: Storage, audit: Audit, actor: Actor) -> None:
    threads = [threading.Thread(target=_fill, args=(storage, audit, actor, 20)) for _unused in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert audit.verify() is None
    with storage.read() as connection:
        assert len(connection.execute(select(table.c.id)).all()) == 80


@pytest.mark.threat("SEC-3")
@pytest.mark.parametrize("place", [lambda s: {"reason": s}, lambda s: {"rules": [{"reason": f"x{s}y"}]}])
def test_a_known_secret_does_not_reach_the_record(
    storage: Storage, audit: Audit, actor: Actor, scrubber: Scrubber, place: Callable[[str], dict[str, Any]]
) -> None:
    scrubber.know("a planted value")
    with storage.write() as connection:
        audit.record(connection, actor, "config.apply", "host/a planted value", after=place("a planted value"))
    with storage.read() as connection:
        row = connection.execute(select(table)).one()
    assert "planted" not in repr(row)
    assert "[redacted]" in row.after
    assert audit.verify() is None


def test_a_row_has_a_limit(storage: Storage, audit: Audit, actor: Actor) -> None:
    with storage.write() as connection:
        audit.record(connection, actor, "config.apply", "t" * 10_000, after={"reason": "x" * 10**6})
    with storage.read() as connection:
        row = connection.execute(select(table)).one()
    assert len(row.after) < 200
    assert "too_long" in row.after
    assert len(row.target) == 1024
    assert audit.verify() is None
