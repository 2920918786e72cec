"""LOG-1: five failures in five minutes, then thirty minutes without a try, whoever asks and however."""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from argos.accounts import Accounts, BadCredentials, Busy, Passwords, Throttle, TooManyFailedLogins
from argos.accounts.records import Records
from argos.accounts.throttle import MOST_ROWS, Crowded, Lockout, account_key
from argos.audit import Actor, Audit
from argos.clock import FixedClock
from argos.epoch import EpochWriter
from argos.scrub import Scrubber
from argos.sessions import Sessions
from argos.storage.engine import Storage
from argos.storage.tables import login_failures
from argos.vault import Vault
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import func, insert, select

pytestmark = pytest.mark.threat("LOG-1")

HOME = "198.51.100.1"
RIGHT = "correct horse"


@pytest.fixture(autouse=True)
def alice(accounts: Accounts, actor: Actor) -> None:
    accounts.create(actor, "alice", "admin", RIGHT)
    accounts.create(actor, "bob", "member", RIGHT)


def fail(accounts: Accounts, times: int, username: str = "alice", address: str = "203.0.113.7") -> None:
    for _unused in range(times):
        with pytest.raises(BadCredentials):
            accounts.authenticate(username, "wrong", address)


def banned_until(accounts: Accounts, username: str, address: str, device: str | None = None) -> int:
    with pytest.raises(TooManyFailedLogins) as raised:
        accounts.authenticate(username, RIGHT, address, device)
    return raised.value.resets_at


def test_the_sixth_try_is_refused_even_with_the_right_password(accounts: Accounts, clock: FixedClock) -> None:
    fail(accounts, 5)
    assert banned_until(accounts, "alice", "203.0.113.7") == clock.now() + 1800
    assert banned_until(accounts, "bob", "203.0.113.7") == clock.now() + 1800


def test_four_failures_ban_nobody(accounts: Accounts) -> None:
    fail(accounts, 4)
    assert accounts.authenticate("alice", RIGHT, "203.0.113.7").username == "alice"


def test_the_ban_ends_after_thirty_minutes_and_not_before(accounts: Accounts, clock: FixedClock) -> None:
    fail(accounts, 5)
    clock.advance(1799)
    banned_until(accounts, "alice", "203.0.113.7")
    clock.advance(1)
    fail(accounts, 4)
    assert accounts.authenticate("alice", RIGHT, "203.0.113.7").username == "alice"


def test_tries_during_a_ban_do_not_lengthen_it(accounts: Accounts, clock: FixedClock) -> None:
    fail(accounts, 5)
    ends = clock.now() + 1800
    for _unused in range(10):
        clock.advance(60)
        assert banned_until(accounts, "alice", "203.0.113.7") == ends


def test_failures_older_than_five_minutes_do_not_count(accounts: Accounts, clock: FixedClock) -> None:
    fail(accounts, 4)
    clock.advance(300)
    fail(accounts, 4)
    assert accounts.authenticate("alice", RIGHT, "203.0.113.7").username == "alice"


def test_a_clock_set_back_does_not_end_a_ban(accounts: Accounts, clock: FixedClock) -> None:
    fail(accounts, 5)
    clock.advance(-86_400)
    banned_until(accounts, "alice", "203.0.113.7")


def test_a_restart_in_the_middle_lifts_nothing(
    accounts: Accounts, storage: Storage, database: Path, epoch: EpochWriter, clock: FixedClock
) -> None:
    def restarted() -> Accounts:
        again = Storage(database, clock)
        again.migrate()
        vault = Vault(again, bytes(range(32)))
        audit = Audit(again, vault, Scrubber())
        sessions = Sessions(again, audit, epoch)
        return Accounts(Records(again, audit, sessions, epoch, Passwords(vault, cost=4), Throttle(clock)))

    fail(accounts, 3)
    storage.close()
    second = restarted()
    fail(second, 2)
    ends = banned_until(second, "alice", "203.0.113.7")
    assert banned_until(restarted(), "alice", "203.0.113.7") == ends


def test_an_ipv6_network_counts_as_one_address(accounts: Accounts) -> None:
    for number in range(5):
        fail(accounts, 1, f"user{number}", f"2001:db8:1:2::{number + 1:x}")
    banned_until(accounts, "alice", "2001:db8:1:2:ffff::9")
    assert accounts.authenticate("alice", RIGHT, "2001:db8:1:3::1").username == "alice"


def test_ipv4_in_ipv6_is_the_same_address(accounts: Accounts) -> None:
    fail(accounts, 5, "nobody", "::ffff:203.0.113.7")
    banned_until(accounts, "alice", "203.0.113.7")


def test_many_addresses_do_not_help_against_one_account(accounts: Accounts) -> None:
    for number, spelling in enumerate(["alice", "Alice", "ALICE", "aLice", "alicE"]):
        fail(accounts, 1, spelling, f"203.0.113.{number}")
    banned_until(accounts, "alice", HOME)
    assert accounts.authenticate("bob", RIGHT, HOME).username == "bob"


def test_a_known_device_lifts_the_accounts_ban_for_itself(accounts: Accounts) -> None:
    user = accounts.authenticate("alice", RIGHT, HOME)
    device = accounts.remember_device(user.id)
    for number in range(5):
        fail(accounts, 1, "alice", f"203.0.113.{number}")
    banned_until(accounts, "alice", HOME)
    assert accounts.authenticate("alice", RIGHT, HOME, device).id == user.id
    banned_until(accounts, "alice", HOME)


def test_a_known_device_does_not_lift_the_addresss_ban(accounts: Accounts) -> None:
    device = accounts.remember_device(accounts.authenticate("alice", RIGHT, HOME).id)
    fail(accounts, 5, "nobody", HOME)
    banned_until(accounts, "alice", HOME, device)


def test_a_known_device_has_a_limit_of_its_own(accounts: Accounts) -> None:
    device = accounts.remember_device(accounts.authenticate("alice", RIGHT, HOME).id)
    for number in range(5):
        with pytest.raises(BadCredentials):
            accounts.authenticate("alice", "wrong", f"203.0.113.{number}", device)
    banned_until(accounts, "alice", "203.0.113.99", device)
    assert accounts.authenticate("alice", RIGHT, "203.0.113.99").username == "alice"


def test_a_device_of_one_account_is_none_of_anothers(accounts: Accounts) -> None:
    device = accounts.remember_device(accounts.authenticate("bob", RIGHT, HOME).id)
    for number in range(5):
        fail(accounts, 1, "alice", f"203.0.113.{number}")
    banned_until(accounts, "alice", HOME, device)
    banned_until(accounts, "alice", HOME, "A" * 43)


def test_a_device_is_forgotten_when_an_admin_resets_the_password(accounts: Accounts, actor: Actor) -> None:
    device = accounts.remember_device(accounts.authenticate("alice", RIGHT, HOME).id)
    accounts.reset_password(actor, "alice", "another horse")
    for number in range(5):
        fail(accounts, 1, "alice", f"203.0.113.{number}")
    banned_until(accounts, "alice", HOME, device)


def test_a_device_keeps_its_token_and_is_forgotten_after_half_a_year(accounts: Accounts, clock: FixedClock) -> None:
    user = accounts.authenticate("alice", RIGHT, HOME)
    device = accounts.remember_device(user.id)
    clock.advance(179 * 86_400)
    assert accounts.remember_device(user.id, device) == device
    clock.advance(181 * 86_400)
    assert accounts.remember_device(user.id, device) != device


def test_a_success_takes_back_its_own_try_and_no_other(accounts: Accounts) -> None:
    # Or whoever owns an account could go on guessing at another's, four guesses and one sign-in at a time.
    fail(accounts, 4, "alice")
    for _unused in range(10):
        accounts.authenticate("bob", RIGHT, "203.0.113.7")
    fail(accounts, 1, "alice")
    banned_until(accounts, "bob", "203.0.113.7")


def test_a_reset_by_an_admin_lifts_the_accounts_ban(accounts: Accounts, actor: Actor) -> None:
    for number in range(5):
        fail(accounts, 1, "alice", f"203.0.113.{number}")
    accounts.reset_password(actor, "alice", "another horse")
    assert accounts.authenticate("alice", "another horse", HOME).username == "alice"


@pytest.mark.parametrize("same", ["address", "account"])
def test_guesses_at_the_same_moment_do_not_pass_the_limit_together(accounts: Accounts, same: str) -> None:
    outcomes: Counter[str] = Counter()
    start = threading.Barrier(20)

    def guess(number: int) -> None:
        username, address = (f"u{number}", "203.0.113.7") if same == "address" else ("alice", f"203.0.113.{number}")
        start.wait()
        try:
            accounts.authenticate(username, "wrong", address)
        except (BadCredentials, TooManyFailedLogins) as error:
            outcomes[type(error).__name__] += 1

    threads = [threading.Thread(target=guess, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outcomes == {"BadCredentials": 5, "TooManyFailedLogins": 15}


@pytest.mark.parametrize("wrong", [0, 4])
def test_only_failures_count_against_people_who_sign_in_at_the_same_moment(accounts: Accounts, wrong: int) -> None:
    # One account from many places, and many people behind one address: more at once than may fail.
    outcomes: Counter[str] = Counter()
    start = threading.Barrier(12 + wrong)

    def sign_in(number: int, password: str) -> None:
        start.wait()
        try:
            accounts.authenticate("alice", password, "203.0.113.7")
        except (BadCredentials, TooManyFailedLogins) as error:
            outcomes[f"{password} {type(error).__name__} {number}"] += 1
        else:
            outcomes["signed in"] += 1

    threads = [threading.Thread(target=sign_in, args=(number, RIGHT)) for number in range(12)]
    threads += [threading.Thread(target=sign_in, args=(number, "wrong")) for number in range(wrong)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outcomes["signed in"] == 12, outcomes
    assert sum(outcomes.values()) == 12 + wrong
    fail(accounts, 5 - wrong)
    banned_until(accounts, "alice", "203.0.113.7")


def test_tries_under_way_when_the_process_ended_have_failed(
    accounts: Accounts, storage: Storage, throttle: Throttle, clock: FixedClock
) -> None:
    for number in range(5):
        with storage.write() as connection:
            throttle.reserve(connection, f"203.0.113.{number}", "alice")
    with storage.write() as connection, pytest.raises(Crowded):
        throttle.reserve(connection, HOME, "alice")
    again = Throttle(clock)
    clock.advance(600)
    with storage.write() as connection:
        assert again.sweep(connection) == 5, "the addresses', at one try each; the account's ban stays"
    with storage.write() as connection, pytest.raises(TooManyFailedLogins) as raised:
        again.reserve(connection, HOME, "alice")
    assert raised.value.resets_at == clock.now() - 600 + 1800
    clock.advance(1200)
    with storage.write() as connection:
        again.reserve(connection, HOME, "alice")


def test_a_try_whose_turn_never_comes_is_told_to_come_again(
    storage: Storage, records: Records, vault: Vault, throttle: Throttle
) -> None:
    accounts = Accounts(replace(records, passwords=Passwords(vault, cost=4, wait=0.05)))
    for _unused in range(5):
        with storage.write() as connection:
            throttle.reserve(connection, HOME, "alice")
    with pytest.raises(Busy):
        accounts.authenticate("alice", RIGHT, HOME)


def test_a_try_that_was_too_busy_is_not_counted(records: Records, vault: Vault) -> None:
    accounts = Accounts(replace(records, passwords=Passwords(vault, cost=4, slots=0, queue=1, wait=0.01)))
    for _unused in range(8):
        with pytest.raises(Busy):
            accounts.authenticate("alice", RIGHT, "203.0.113.7")


@pytest.mark.threat("DAT-4")
def test_a_flood_of_addresses_keeps_the_table_small_and_the_bans_in_it(storage: Storage, clock: FixedClock) -> None:
    throttle = Throttle(clock, most_rows=100)

    def attempt(address: str, username: str) -> None:
        with storage.write() as connection:
            throttle.fail(connection, throttle.reserve(connection, address, username))

    for _unused in range(5):
        attempt("203.0.113.7", "alice")
    for number in range(400):
        attempt(f"10.0.{number // 256}.{number % 256}", f"user{number}")
        with storage.read() as connection:
            assert connection.scalar(select(func.count()).select_from(login_failures)) <= 102
    assert throttle.dropped > 600
    with pytest.raises(TooManyFailedLogins):
        attempt("203.0.113.7", "somebody")
    with pytest.raises(TooManyFailedLogins):
        attempt("10.9.9.9", "alice")
    clock.advance(3600)
    with storage.write() as connection:
        throttle.sweep(connection)
        assert connection.scalar(select(func.count()).select_from(login_failures)) == 0


@pytest.mark.threat("DAT-4")
def test_a_hundred_thousand_keys_leave_honest_people_alone(
    accounts: Accounts, storage: Storage, throttle: Throttle, clock: FixedClock
) -> None:
    device = accounts.remember_device(accounts.authenticate("alice", RIGHT, HOME).id)
    fail(accounts, 5, "bob", "203.0.113.9")
    now = clock.now()
    with storage.write() as connection:  # what a flood of failures before this moment has left
        connection.execute(
            insert(login_failures),
            [
                {"key": f"{kind}:{number}", "failures": 1, "window_started_at": now - number % 299, "banned_until": 0}
                for kind in ("address", "account")
                for number in range(50_000)
            ],
        )
    fail(accounts, 1, "nobody", "198.51.100.77")
    with storage.read() as connection:
        assert (connection.scalar(select(func.count()).select_from(login_failures)) or 0) <= MOST_ROWS
        kept = connection.execute(select(func.min(login_failures.c.window_started_at))).scalar()
        assert kept is not None
        assert kept > now - 299, "the oldest go first"
    assert throttle.dropped >= 80_000
    banned_until(accounts, "bob", "198.51.100.78")
    assert accounts.authenticate("alice", RIGHT, HOME, device).username == "alice"
    assert accounts.authenticate("alice", RIGHT, "198.51.100.79").username == "alice"


@given(st.text())
def test_every_text_has_a_short_account_key(username: str) -> None:
    assert len(account_key(username)) <= 8 + 64
    assert account_key(username).isprintable()


def test_each_lock_is_told_once_when_it_begins(storage: Storage, clock: FixedClock) -> None:
    told: list[Lockout] = []
    throttle = Throttle(clock, tell=lambda _connection, lockout: told.append(lockout))

    def wrong(username: str, address: str) -> None:
        with storage.write() as connection:
            throttle.fail(connection, throttle.reserve(connection, address, username))

    for _unused in range(4):
        wrong("alice", HOME)
    assert told == []
    wrong("bob", HOME)
    assert told == [Lockout(HOME, clock.now() + 1800, "bob", address_locked=True)]
    with pytest.raises(TooManyFailedLogins):
        wrong("bob", HOME)
    wrong("alice", "203.0.113.8")
    assert told[1:] == [Lockout("203.0.113.8", clock.now() + 1800, "alice", account_locked=True)]
    clock.advance(1801)
    for _unused in range(5):
        wrong("alice", HOME)
    assert told[2:] == [Lockout(HOME, clock.now() + 1800, "alice", address_locked=True, account_locked=True)]


def test_a_lock_of_a_second_factor_is_told_once(storage: Storage, clock: FixedClock) -> None:
    told: list[Lockout] = []
    throttle = Throttle(clock, tell=lambda _connection, lockout: told.append(lockout))
    for _unused in range(4):
        with storage.write() as connection:
            throttle.fail_code(connection, throttle.reserve_code(connection, HOME, 7))
    assert told == []
    with storage.write() as connection:
        throttle.refund(connection, throttle.reserve_code(connection, HOME, 7))
    assert told == [], "a right code as the fifth try locks nobody"
    with storage.write() as connection:
        throttle.fail_code(connection, throttle.reserve_code(connection, HOME, 7))
    assert told == [Lockout(HOME, clock.now() + 900, user_id=7, second_factor=True)]
    with pytest.raises(TooManyFailedLogins), storage.write() as connection:
        throttle.reserve_code(connection, HOME, 7)
