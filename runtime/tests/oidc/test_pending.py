"""Pending sign-ins: single use, ten minutes by the clock, one browser's, and bounded."""

from __future__ import annotations

import dataclasses

import pytest
from argos.clock import FixedClock
from argos.errors import Unavailable
from argos.oidc.errors import UnknownState
from argos.oidc.pending import MOST as MOST_PENDING
from argos.oidc.pending import Begun, Pending
from argos.oidc.starts import ADDRESSES, MOST, WINDOW, Starts
from argos.storage.engine import Storage
from argos.storage.tables import oidc_pending
from argos.vault import BrokenSeal, Vault
from sqlalchemy import func, insert, select, text

BEGUN = Begun("https://id.example", "argos", "the nonce", "the verifier", "https://a.example/oidc/callback", "/")


@pytest.fixture
def pending(storage: Storage, vault: Vault) -> Pending:
    return Pending(storage, vault)


@pytest.mark.threat("OIDC-1")
def test_a_pending_sign_in_is_taken_once_and_by_its_browser_only(pending: Pending) -> None:
    ticket = pending.put(BEGUN)
    for foreign in ({"browser": "another"}, {"browser": ""}, {"state": "another"}):
        with pytest.raises(UnknownState):
            pending.take(dataclasses.replace(ticket, **foreign))
    assert pending.take(ticket) == BEGUN
    with pytest.raises(UnknownState):
        pending.take(ticket)


@pytest.mark.threat("OIDC-1")
def test_a_pending_sign_in_lives_ten_minutes(pending: Pending, clock: FixedClock) -> None:
    in_time, late = pending.put(BEGUN), pending.put(BEGUN)
    clock.advance(599)
    assert pending.take(in_time) == BEGUN
    clock.advance(1)
    with pytest.raises(UnknownState):
        pending.take(late)
    assert pending.sweep() == 1


@pytest.mark.threat("DAT-4")
def test_the_table_is_bounded_and_the_oldest_go_first(storage: Storage, vault: Vault, clock: FixedClock) -> None:
    pending = Pending(storage, vault, most=50)
    tickets = []
    for _number in range(60):
        tickets.append(pending.put(BEGUN))
        clock.advance(1)
    with storage.read() as connection:
        assert connection.execute(text("SELECT count(*) FROM oidc_pending")).scalar() == 50
    with pytest.raises(UnknownState):
        pending.take(tickets[9])
    assert pending.take(tickets[10]) == BEGUN


@pytest.mark.long
@pytest.mark.threat("DAT-4")
def test_a_hundred_thousand_begun_sign_ins_leave_honest_people_alone(
    pending: Pending, storage: Storage, clock: FixedClock
) -> None:
    now = clock.now()
    earlier = pending.put(BEGUN)
    with storage.write() as connection:  # a flood of ten minutes, as it stands before the next sign-in
        connection.execute(
            insert(oidc_pending),
            [
                {
                    "state_hash": number.to_bytes(32, "big"),
                    "browser_hash": bytes(32),
                    "sealed": bytes(200),
                    "created_at": now - number % 599 - 1,
                }
                for number in range(100_000)
            ],
        )
    mine = pending.put(BEGUN)
    with storage.read() as connection:
        number, oldest = connection.execute(
            select(func.count(), func.min(oidc_pending.c.created_at)).select_from(oidc_pending)
        ).one()
    assert number == MOST_PENDING
    assert oldest > now - 125, "the oldest go first"
    assert pending.dropped == 100_002 - MOST_PENDING
    assert pending.take(earlier) == BEGUN
    assert pending.take(mine) == BEGUN


@pytest.mark.threat("SEC-1")
def test_a_pending_sign_in_moved_to_another_row_does_not_open(pending: Pending, storage: Storage) -> None:
    first, second = pending.put(BEGUN), pending.put(BEGUN)
    with storage.write() as connection:
        rows = connection.execute(text("SELECT state_hash, sealed FROM oidc_pending")).all()
        assert all(b"the nonce" not in row.sealed for row in rows)
        for here, there in (rows, rows[::-1]):
            connection.execute(
                text("UPDATE oidc_pending SET sealed = :sealed WHERE state_hash = :place"),
                {"sealed": there.sealed, "place": here.state_hash},
            )
    for ticket in (first, second):
        with pytest.raises(BrokenSeal):
            pending.take(ticket)


@pytest.mark.threat("DAT-4")
def test_one_address_may_begin_so_many_and_others_do_not_notice(clock: FixedClock) -> None:
    starts = Starts(clock)
    for number in range(MOST):
        starts.count(f"2001:db8::{number + 1:x}")
    with pytest.raises(Unavailable):
        starts.count("2001:db8::ffff")
    starts.count("2001:db8:0:1::1")
    clock.advance(WINDOW)
    starts.count("2001:db8::ffff")


@pytest.mark.threat("DAT-4")
def test_a_hundred_thousand_addresses_take_bounded_memory(clock: FixedClock) -> None:
    starts = Starts(clock)
    for number in range(100_000):
        starts.count(f"10.{number >> 16}.{(number >> 8) & 255}.{number & 255}")
    assert len(starts._counts) == ADDRESSES
