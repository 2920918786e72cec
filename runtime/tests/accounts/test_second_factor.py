"""The second factor over a real database: each code once, whatever races."""

# ruff: noqa: D102
from __future__ import annotations

import base64
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyotp
import pytest
from argos.accounts import Accounts, TooManyFailedLogins, recovery_codes, totp
from argos.accounts.errors import WrongCode
from argos.accounts.people import People, Wanted
from argos.accounts.records import Records
from argos.accounts.second_factor import SecondFactors
from argos.audit import Actor, Audit
from argos.clock import FixedClock
from argos.epoch import EpochReader
from argos.errors import ArgosError, Conflict, NotFound
from argos.sessions import Session, Sessions
from argos.storage.engine import Storage
from argos.vault import BrokenSeal, Vault

ADDRESS = "203.0.113.5"
ALICE = Actor("user", "alice", ADDRESS)
PASSWORD = "correct horse battery"


@pytest.fixture
def factors(records: Records, vault: Vault) -> SecondFactors:
    return SecondFactors(records, vault)


@pytest.fixture
def session(accounts: Accounts, sessions: Sessions, actor: Actor) -> Session:
    user = accounts.create(actor, "alice", "member", PASSWORD)
    return sessions.begin(ALICE, user.id, ADDRESS).session


class Phone:
    """Alice's authenticator, her recovery codes, and a new sign-in of hers."""

    def __init__(self, factors: SecondFactors, sessions: Sessions, session: Session, clock: FixedClock) -> None:
        self.secret = factors.begin(ALICE, session).secret
        self._sessions, self._clock, self._user_id = sessions, clock, session.user_id
        enabled = factors.confirm(ALICE, session, self.code())
        self.codes, self.session = enabled.codes, enabled.issued.session
        clock.advance(60)

    def code(self, shift: int = 0) -> str:
        return pyotp.TOTP(self.secret).at(self._clock.now() + shift * 30)

    def sign_in(self) -> Session:
        return self._sessions.begin(ALICE, self._user_id, ADDRESS).session


@pytest.fixture
def phone(factors: SecondFactors, sessions: Sessions, session: Session, clock: FixedClock) -> Phone:
    return Phone(factors, sessions, session, clock)


def wins(tries: list[Callable[[], object]]) -> tuple[int, list[ArgosError]]:
    """Run them at one moment; return how many succeeded, and how the others failed."""
    start = threading.Barrier(len(tries))
    lost: list[ArgosError] = []

    def run(one: Callable[[], object]) -> bool:
        start.wait(60)
        try:
            one()
        except (WrongCode, TooManyFailedLogins, NotFound) as error:
            lost.append(error)
            return False
        return True

    with ThreadPoolExecutor(len(tries)) as pool:
        return sum(pool.map(run, tries)), lost


@pytest.mark.parametrize(
    ("now", "code"), [(59, "287082"), (1111111109, "081804"), (1234567890, "005924"), (20000000000, "353130")]
)
def test_the_codes_are_those_of_rfc_6238_appendix_b(now: int, code: str) -> None:
    assert totp.matching_step(b"12345678901234567890", code, now, 0) == now // 30
    assert totp.matching_step(b"12345678901234567890", f"{code[:3]} {code[3:]}", now, 0) == now // 30


def test_the_secret_has_twenty_bytes_and_every_app_can_read_its_uri(factors: SecondFactors, session: Session) -> None:
    setup = factors.begin(ALICE, session)
    assert len(base64.b32decode(setup.secret)) == 20
    read = pyotp.parse_uri(setup.uri)
    assert isinstance(read, pyotp.TOTP)
    assert (read.secret, read.digits, read.interval, read.name) == (setup.secret, 6, 30, "alice")
    assert setup.qr_code.startswith("<svg ")
    assert "style" not in setup.qr_code
    assert setup.secret not in repr(setup)


@pytest.mark.threat("LOG-4")
@pytest.mark.parametrize(("shift", "right"), [(-2, False), (-1, True), (0, True), (1, True), (2, False)])
def test_a_code_counts_one_step_early_or_late_and_no_more(
    factors: SecondFactors, phone: Phone, clock: FixedClock, shift: int, right: bool
) -> None:
    clock.advance(300)
    code = phone.code(shift)
    if right:
        assert factors.prove(ALICE, phone.sign_in(), code).session.assurance == "full"
    else:
        with pytest.raises(WrongCode):
            factors.prove(ALICE, phone.sign_in(), code)


@pytest.mark.threat("LOG-4")
def test_a_step_is_used_once_and_closes_those_before_it(factors: SecondFactors, phone: Phone) -> None:
    earlier = phone.code(-1)
    issued = factors.prove(ALICE, phone.sign_in(), phone.code())
    assert issued.session.second_factor
    for used in (phone.code(), earlier):
        with pytest.raises(WrongCode):
            factors.prove(ALICE, phone.sign_in(), used)


def test_the_code_that_confirmed_the_setup_signs_nobody_in(
    factors: SecondFactors, sessions: Sessions, session: Session, clock: FixedClock
) -> None:
    setup = factors.begin(ALICE, session)
    code = pyotp.TOTP(setup.secret).at(clock.now())
    factors.confirm(ALICE, session, code)
    with pytest.raises(WrongCode):
        factors.prove(ALICE, sessions.begin(ALICE, session.user_id, ADDRESS).session, code)


@pytest.mark.threat("LOG-4")
@pytest.mark.parametrize("kind", ["totp", "recovery"])
def test_of_fifty_concurrent_uses_of_one_code_by_as_many_sign_ins_one_wins(
    factors: SecondFactors, phone: Phone, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The last one waits for a hundred commits, which a busy disk may take more than ten seconds for.
    monkeypatch.setattr("argos.storage.engine.BUSY_TIMEOUT_S", 60)
    code = phone.code() if kind == "totp" else phone.codes[0]
    half = [phone.sign_in() for _unused in range(50)]
    # Fifty addresses, so that it is not the lockout that holds.
    tries = [
        lambda one=one, number=number: factors.prove(Actor("user", "alice", f"198.51.100.{number}"), one, code)
        for number, one in enumerate(half)
    ]
    won, lost = wins(tries)
    assert won == 1
    assert {type(error) for error in lost} == {WrongCode}
    assert factors.status(phone.session.user_id).codes_left == (10 if kind == "totp" else 9)


@pytest.mark.threat("LOG-4")
def test_ten_recovery_codes_used_at_once_all_count_once(factors: SecondFactors, phone: Phone) -> None:
    half = [(phone.sign_in(), code) for code in phone.codes]
    won, lost = wins([lambda one=one, code=code: factors.prove(ALICE, one, code) for one, code in half])
    # Each is taken back on success, so ten right ones lock nobody out.
    assert (won, lost) == (10, [])
    assert factors.status(phone.session.user_id).codes_left == 0


def test_recovery_codes_look_as_promised_and_are_read_kindly(factors: SecondFactors, phone: Phone) -> None:
    assert len(recovery_codes.ALPHABET) == 32
    assert len(set(phone.codes)) == 10
    assert all(len(code) == 9 and code[4] == "-" for code in phone.codes)
    typed = phone.codes[0].upper().replace("-", " ").replace("0", "O").replace("1", "I")
    factors.prove(ALICE, phone.sign_in(), typed)


@pytest.mark.threat("LOG-5")
def test_a_sign_in_that_has_ended_gets_neither_a_set_up_nor_codes(
    factors: SecondFactors, phone: Phone, sessions: Sessions, people: People, actor: Actor
) -> None:
    sessions.revoke_user(actor, phone.session.user_id)
    with pytest.raises(NotFound):
        factors.new_recovery_codes(ALICE, phone.session)
    people.put(actor, "alice", Wanted(second_factor="disabled"))
    with pytest.raises(NotFound):
        factors.begin(ALICE, phone.session)


def test_a_new_set_voids_the_old_one(factors: SecondFactors, phone: Phone) -> None:
    new = factors.new_recovery_codes(ALICE, phone.session)
    with pytest.raises(WrongCode):
        factors.prove(ALICE, phone.sign_in(), phone.codes[0])
    factors.prove(ALICE, phone.sign_in(), new[0])


@pytest.mark.threat("LOG-4")
def test_five_wrong_codes_lock_this_person_at_this_address_for_15_minutes(
    factors: SecondFactors, phone: Phone, clock: FixedClock, accounts: Accounts
) -> None:
    for _unused in range(4):
        with pytest.raises(WrongCode):
            factors.prove(ALICE, phone.sign_in(), "000000")
    clock.advance(600)
    accounts.sweep()  # the sweep of sign-in's shorter window must not forget them
    with pytest.raises(WrongCode):
        factors.prove(ALICE, phone.sign_in(), "000000")
    with pytest.raises(TooManyFailedLogins) as refused:
        factors.prove(ALICE, phone.sign_in(), phone.code())
    assert refused.value.resets_at == clock.now() + 900
    elsewhere = Actor("user", "alice", "198.51.100.9")
    assert factors.prove(elsewhere, phone.sign_in(), phone.code()).session.assurance == "full"
    clock.advance(901)
    assert factors.prove(ALICE, phone.sign_in(), phone.code()).session.assurance == "full"


@pytest.mark.threat("LOG-4")
def test_many_addresses_do_not_help_who_guesses_codes(
    factors: SecondFactors, phone: Phone, clock: FixedClock, accounts: Accounts
) -> None:
    half, tried = phone.sign_in(), 0
    with pytest.raises(TooManyFailedLogins) as refused:  # noqa: PT012 - how many tries it takes is the point
        for tried in range(200):
            # Each of another /64 of one /48: what anybody gets from a tunnel broker.
            with pytest.raises(WrongCode):
                factors.prove(Actor("user", "alice", f"2001:db8:0:{tried:x}::1"), half, "000000")
    assert tried == 50
    assert refused.value.resets_at == clock.now() + 3600
    clock.advance(1800)
    accounts.sweep()
    with pytest.raises(TooManyFailedLogins):
        factors.prove(ALICE, phone.sign_in(), phone.code())
    clock.advance(1801)
    assert factors.prove(ALICE, phone.sign_in(), phone.code()).session.assurance == "full"


@pytest.mark.threat("LOG-4")
def test_a_half_signed_in_session_lives_five_minutes_and_a_whole_one_its_full_time(
    factors: SecondFactors, phone: Phone, clock: FixedClock
) -> None:
    half = phone.sign_in()
    assert half.assurance == "second_factor"
    assert half.expires_at == clock.now() + 300
    whole = factors.prove(ALICE, half, phone.code()).session
    assert whole.expires_at == clock.now() + 168 * 3600
    late = phone.sign_in()
    clock.advance(300)
    with pytest.raises(NotFound):
        factors.prove(ALICE, late, phone.code())


@pytest.mark.threat("DAT-4")
def test_a_flood_of_challenges_is_bounded_and_ends_no_whole_session(
    phone: Phone, sessions: Sessions, clock: FixedClock
) -> None:
    for _unused in range(130):
        phone.sign_in()
    there = sessions.list_for(phone.session.user_id)
    assert len(there) == 51
    assert there[-1] == phone.session
    clock.advance(300)
    assert sessions.sweep() == 50


def test_proving_makes_new_tokens_and_ends_the_old(factors: SecondFactors, phone: Phone, sessions: Sessions) -> None:
    half = sessions.begin(ALICE, phone.session.user_id, ADDRESS)
    whole = factors.prove(ALICE, half.session, phone.code())
    assert sessions.find_panel(half.panel_token) is None
    assert sessions.find_edge(half.edge_token) is None
    assert sessions.find_edge(whole.edge_token) == whole.session


def test_one_who_must_change_the_password_proves_the_code_first(
    factors: SecondFactors, phone: Phone, accounts: Accounts, actor: Actor
) -> None:
    accounts.reset_password(actor, "alice", "another long password")
    half = phone.sign_in()
    assert half.assurance == "second_factor"
    assert factors.prove(ALICE, half, phone.code()).session.assurance == "password_change"


@pytest.mark.threat("LOG-4")
def test_a_lock_of_the_second_factor_goes_with_it(
    factors: SecondFactors,
    phone: Phone,
    sessions: Sessions,
    clock: FixedClock,
    accounts: Accounts,
    people: People,
    actor: Actor,
) -> None:
    """Who lost the phone guessed at the code first: a new one must not wait for the old one's lock."""
    neighbour = accounts.create(actor, "bob", "member", PASSWORD)
    bob = Phone(factors, sessions, sessions.begin(Actor("user", "bob", ADDRESS), neighbour.id, ADDRESS).session, clock)
    for person in (phone, bob):
        half = person.sign_in()
        for _unused in range(5):
            with pytest.raises(WrongCode):
                factors.prove(ALICE, half, "000000")
    assert people.put(actor, "alice", Wanted(second_factor="disabled")).changed
    anew = Phone(factors, sessions, phone.sign_in(), clock)
    assert factors.prove(ALICE, anew.sign_in(), anew.code()).session.assurance == "full"
    with pytest.raises(TooManyFailedLogins):
        factors.prove(ALICE, bob.sign_in(), bob.code())


@pytest.mark.threat("LOG-5")
def test_switching_on_and_off_ends_the_other_sessions_and_advances_the_epoch(
    factors: SecondFactors, session: Session, sessions: Sessions, clock: FixedClock, epoch_reader: EpochReader
) -> None:
    other = sessions.begin(ALICE, session.user_id, ADDRESS)
    before = epoch_reader.read().counter
    phone = Phone(factors, sessions, session, clock)
    assert sessions.find_edge(other.edge_token) is None
    assert epoch_reader.read().counter > before
    half = sessions.begin(ALICE, session.user_id, ADDRESS)
    off = factors.switch_off(ALICE, phone.session)
    assert sessions.find_panel(half.panel_token) is None
    assert not off.session.second_factor
    assert factors.status(session.user_id).codes_left == 0
    assert phone.sign_in().assurance == "full"


@pytest.mark.threat("LOG-5")
def test_an_admin_switches_a_lost_factor_off(
    factors: SecondFactors, phone: Phone, people: People, actor: Actor, sessions: Sessions, epoch_reader: EpochReader
) -> None:
    off = Wanted(second_factor="disabled")
    half, before = phone.sign_in(), epoch_reader.read().counter
    planned = people.put(actor, "alice", off, check=True, create=False)
    assert (planned.changed, len(sessions.list_for(phone.session.user_id))) == (True, 2)
    assert planned.before == {**(planned.after or {}), "second_factor": "enabled"}
    assert factors.holders() == {phone.session.user_id}
    assert people.put(actor, "alice", off, create=False) == planned
    assert sessions.list_for(half.user_id) == []
    assert epoch_reader.read().counter > before
    assert factors.status(half.user_id).codes_left == 0
    assert factors.holders() == frozenset()
    again = people.put(actor, "alice", off, create=False)
    assert (again.changed, again.before) == (False, again.after)
    with pytest.raises(NotFound):
        people.put(actor, "nobody-here", off, create=False)


def test_a_confirmed_secret_is_never_replaced_and_an_old_setup_never_confirmed(
    factors: SecondFactors, session: Session, clock: FixedClock, sessions: Sessions
) -> None:
    setup = factors.begin(ALICE, session)
    clock.advance(totp.SETUP)
    with pytest.raises(WrongCode):
        factors.confirm(ALICE, session, pyotp.TOTP(setup.secret).at(clock.now()))
    assert factors.sweep() == 1
    phone = Phone(factors, sessions, session, clock)
    with pytest.raises(Conflict):
        factors.begin(ALICE, phone.session)


@pytest.mark.threat("SEC-1")
def test_the_database_file_holds_neither_secret_nor_codes(
    phone: Phone, storage: Storage, database: Path, vault: Vault, audit: Audit
) -> None:
    with storage.read() as connection:
        sealed = connection.exec_driver_sql("SELECT secret FROM totp").scalar_one()
    content = b"".join(path.read_bytes() for path in database.parent.glob("argos.db*"))
    for secret in (phone.secret.encode(), base64.b32decode(phone.secret), *(code.encode() for code in phone.codes)):
        assert secret not in content
    assert sealed in content, "the search looks where the rows are"
    with pytest.raises(BrokenSeal):
        vault.open("totp", "secret", str(phone.session.user_id + 1), sealed)
    assert audit.verify() is None


@pytest.mark.threat("LOG-4")
@pytest.mark.parametrize("table", ["totp", "recovery_codes", "audit"])
def test_a_database_in_trouble_opens_nothing(
    factors: SecondFactors, phone: Phone, storage: Storage, sessions: Sessions, table: str
) -> None:
    half = sessions.begin(ALICE, phone.session.user_id, ADDRESS)
    code = phone.codes[0] if table == "recovery_codes" else phone.code()
    with storage.write() as connection:
        connection.exec_driver_sql(f"ALTER TABLE {table} RENAME TO away")
    with pytest.raises(Exception, match=r".") as failed:
        factors.prove(ALICE, half.session, code)
    assert not isinstance(failed.value, WrongCode)
    if table == "totp":
        with pytest.raises(Exception, match=r"."):
            phone.sign_in()
    found = sessions.find_edge(half.edge_token)
    assert found is not None
    assert found.assurance == "second_factor"
