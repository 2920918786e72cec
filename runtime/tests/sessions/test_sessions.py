"""Sessions: two tokens of one sign-in, which live together, end together, and end at once."""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path

import pytest
from argos.accounts import Accounts
from argos.audit import Actor, Audit
from argos.clock import FixedClock
from argos.epoch import EpochReader
from argos.errors import Conflict, NotFound
from argos.sessions import Sessions
from argos.sessions.store import PER_USER
from argos.sessions.tokens import new_token, token_hash
from argos.storage.engine import Storage
from argos.storage.tables import audit as audit_table
from argos.storage.tables import gate_settings, resources
from argos.storage.tables import sessions as table
from sqlalchemy import func, insert, select, update

ADDRESS = "203.0.113.7"
HOUR = 3600


@pytest.fixture
def alice(accounts: Accounts, actor: Actor) -> int:
    accounts.create(actor, "root", "admin", "correct horse")
    return accounts.create(actor, "alice", "member", "correct horse", name="Alice", email="a@home.example").id


def edge_hash(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()


def test_a_token_is_32_random_bytes_in_base64url() -> None:
    tokens = {new_token() for _unused in range(100)}
    assert len(tokens) == 100
    assert {len(base64.urlsafe_b64decode(token + "=")) for token in tokens} == {32}


def test_both_tokens_find_the_session_and_the_person(sessions: Sessions, actor: Actor, alice: int) -> None:
    issued = sessions.begin(actor, alice, ADDRESS, "Firefox")
    found = sessions.find_panel(issued.panel_token)
    assert found == sessions.find_edge(issued.edge_token) == issued.session
    assert found is not None
    assert (found.username, found.name, found.email, found.role) == ("alice", "Alice", "a@home.example", "member")
    assert (found.assurance, found.address, found.user_agent) == ("full", ADDRESS, "Firefox")


@pytest.mark.threat("AUT-3")
def test_neither_token_is_good_in_the_others_place(sessions: Sessions, actor: Actor, alice: int) -> None:
    issued = sessions.begin(actor, alice, ADDRESS)
    assert sessions.find_panel(issued.edge_token) is None
    assert sessions.find_edge(issued.panel_token) is None


@pytest.mark.threat("SEC-1")
def test_only_hashes_are_stored(sessions: Sessions, actor: Actor, alice: int, database: Path) -> None:
    issued = sessions.begin(actor, alice, ADDRESS)
    files = b"".join(path.read_bytes() for path in database.parent.iterdir())
    assert edge_hash(issued.edge_token) in files
    for token in (issued.panel_token, issued.edge_token):
        assert token.encode() not in files
        assert base64.urlsafe_b64decode(token + "=") not in files
        assert token not in repr(issued)


@pytest.mark.parametrize(
    "token", ["", "x", "A" * 42, "A" * 44, "A" * 42 + "\n", "A" * 42 + "é", "\ud800" * 43, "' OR 1"]
)
def test_what_is_no_token_finds_nothing(sessions: Sessions, actor: Actor, alice: int, token: str) -> None:
    sessions.begin(actor, alice, ADDRESS)
    assert token_hash(token) is None
    assert sessions.find_panel(token) is None
    assert sessions.find_edge(token) is None


def test_a_session_ends_after_168_hours_however_busy(
    sessions: Sessions, actor: Actor, alice: int, clock: FixedClock
) -> None:
    issued = sessions.begin(actor, alice, ADDRESS)
    for _unused in range(167):
        clock.advance(HOUR)
        assert sessions.find_panel(issued.panel_token) is not None
    clock.advance(HOUR - 1)
    assert sessions.find_edge(issued.edge_token) is not None
    clock.advance(1)
    assert sessions.find_edge(issued.edge_token) is None
    assert sessions.find_panel(issued.panel_token) is None


def test_a_session_ends_after_24_idle_hours(sessions: Sessions, actor: Actor, alice: int, clock: FixedClock) -> None:
    issued = sessions.begin(actor, alice, ADDRESS)
    clock.advance(24 * HOUR - 1)
    assert sessions.find_edge(issued.edge_token) is not None
    clock.advance(1)
    assert sessions.find_edge(issued.edge_token) is None
    assert sessions.find_panel(issued.panel_token) is None
    assert sessions.list_for(alice) == []


def test_lifetimes_follow_the_declared_ones(
    sessions: Sessions, storage: Storage, actor: Actor, alice: int, clock: FixedClock
) -> None:
    with storage.write() as connection:
        spec = json.dumps({"absolute_hours": 2, "idle_hours": 1})
        connection.execute(insert(resources).values(kind="settings", name="session", spec=spec, updated_at=0))
    issued = sessions.begin(actor, alice, ADDRESS)
    assert issued.session.expires_at == clock.now() + 2 * HOUR
    clock.advance(HOUR)
    assert sessions.find_edge(issued.edge_token) is None
    with storage.write() as connection:
        row = {"id": 1, "panel_url": "https://a", "cookie_name": "c", "idle_seconds": HOUR + 1}
        connection.execute(insert(gate_settings).values(row))
    assert sessions.find_edge(issued.edge_token) is not None


@pytest.mark.threat("LOG-5")
def test_signing_out_ends_both_cookies_and_advances_the_epoch(
    sessions: Sessions, epoch_reader: EpochReader, actor: Actor, alice: int
) -> None:
    issued, other = sessions.begin(actor, alice, ADDRESS), sessions.begin(actor, alice, ADDRESS)
    before = epoch_reader.read().counter
    assert sessions.revoke(actor, issued.session.id) is True
    assert epoch_reader.read().counter == before + 1
    assert sessions.find_panel(issued.panel_token) is None
    assert sessions.find_edge(issued.edge_token) is None
    assert sessions.find_edge(other.edge_token) is not None
    assert sessions.revoke(actor, issued.session.id) is False
    assert epoch_reader.read().counter == before + 1


@pytest.mark.threat("LOG-5")
def test_revoking_a_person_ends_all_their_sessions_and_nobody_elses(
    sessions: Sessions, accounts: Accounts, epoch_reader: EpochReader, actor: Actor, alice: int
) -> None:
    issued = [sessions.begin(actor, alice, ADDRESS) for _unused in range(3)]
    roots = sessions.begin(actor, accounts.get("root").id, ADDRESS)
    before = epoch_reader.read().counter
    assert sessions.revoke_user(actor, alice) == 3
    assert epoch_reader.read().counter == before + 1
    assert [sessions.find_edge(one.edge_token) for one in issued] == [None, None, None]
    assert sessions.find_edge(roots.edge_token) is not None
    assert sessions.revoke_user(actor, alice) == 0


@pytest.mark.threat("LOG-5")
def test_a_disabled_persons_session_is_dead_even_if_its_row_were_left(
    sessions: Sessions, accounts: Accounts, storage: Storage, actor: Actor, alice: int
) -> None:
    issued = sessions.begin(actor, alice, ADDRESS)
    with storage.write() as connection:
        connection.exec_driver_sql("UPDATE users SET disabled = 1 WHERE username = 'alice'")
    assert sessions.find_panel(issued.panel_token) is None
    assert sessions.find_edge(issued.edge_token) is None
    with pytest.raises(Conflict, match="user/alice: is disabled"):
        sessions.begin(actor, alice, ADDRESS)


def test_renewing_gives_new_tokens_and_kills_the_old_ones(
    sessions: Sessions, epoch_reader: EpochReader, actor: Actor, alice: int, clock: FixedClock
) -> None:
    old = sessions.begin(actor, alice, ADDRESS)
    clock.advance(HOUR)
    before = epoch_reader.read().counter
    new = sessions.renew(actor, old.session.id, "198.51.100.9", "Chromium")
    assert epoch_reader.read().counter == before + 1
    assert sessions.find_panel(old.panel_token) is None
    assert sessions.find_edge(old.edge_token) is None
    assert sessions.find_panel(new.panel_token) == new.session
    assert {old.panel_token, old.edge_token}.isdisjoint({new.panel_token, new.edge_token})
    assert new.session.id != old.session.id
    assert new.session.expires_at == old.session.expires_at
    with pytest.raises(NotFound):
        sessions.renew(actor, old.session.id, ADDRESS)


def test_a_dead_session_is_not_renewed(sessions: Sessions, actor: Actor, alice: int, clock: FixedClock) -> None:
    old = sessions.begin(actor, alice, ADDRESS)
    clock.advance(24 * HOUR)
    with pytest.raises(NotFound):
        sessions.renew(actor, old.session.id, ADDRESS)


def _seen(storage: Storage, session_id: int) -> int:
    with storage.read() as connection:
        return connection.scalar(select(table.c.last_seen_at).where(table.c.id == session_id))


def test_what_the_gate_saw_is_noted_at_most_every_five_minutes(
    sessions: Sessions, storage: Storage, epoch_reader: EpochReader, actor: Actor, alice: int, clock: FixedClock
) -> None:
    issued = sessions.begin(actor, alice, ADDRESS)
    start, before = clock.now(), epoch_reader.read().counter
    seen = [edge_hash(issued.edge_token)] * 3
    clock.advance(299)
    assert sessions.touch_seen(seen) == 0
    clock.advance(1)
    assert sessions.touch_seen(seen) == 1
    assert sessions.touch_seen(seen) == 0
    assert _seen(storage, issued.session.id) == start + 300
    assert epoch_reader.read().counter == before


def test_a_dead_session_is_not_brought_back_by_being_seen(
    sessions: Sessions, storage: Storage, actor: Actor, alice: int, clock: FixedClock
) -> None:
    issued = sessions.begin(actor, alice, ADDRESS)
    hashed = edge_hash(issued.edge_token)
    clock.advance(24 * HOUR)
    assert sessions.touch_seen([hashed]) == 0
    assert sessions.find_edge(issued.edge_token) is None
    ended = sessions.begin(actor, alice, ADDRESS)
    sessions.revoke(actor, ended.session.id)
    clock.advance(600)
    assert sessions.touch_seen([edge_hash(ended.edge_token)]) == 0


def test_garbage_among_the_seen_is_ignored(sessions: Sessions, actor: Actor, alice: int, clock: FixedClock) -> None:
    issued = sessions.begin(actor, alice, ADDRESS)
    clock.advance(600)
    garbage = [b"", b"x" * 31, b"x" * 33, bytes(32), issued.edge_token.encode()]
    assert sessions.touch_seen([*garbage, edge_hash(issued.edge_token)]) == 1
    assert sessions.touch_seen(hashlib.sha256(str(number).encode()).digest() for number in range(2000)) == 0


def test_the_panel_notes_a_sight_itself(
    sessions: Sessions, storage: Storage, actor: Actor, alice: int, clock: FixedClock
) -> None:
    issued = sessions.begin(actor, alice, ADDRESS)
    start = clock.now()
    clock.advance(299)
    sessions.find_panel(issued.panel_token)
    assert _seen(storage, issued.session.id) == start
    clock.advance(1)
    sessions.find_panel(issued.panel_token)
    assert _seen(storage, issued.session.id) == start + 300


@pytest.mark.threat("DAT-4")
def test_a_person_has_at_most_a_hundred_sessions_and_the_oldest_go(
    sessions: Sessions, storage: Storage, epoch_reader: EpochReader, actor: Actor, alice: int
) -> None:
    issued = [sessions.begin(actor, alice, ADDRESS) for _unused in range(PER_USER)]
    before = epoch_reader.read().counter
    last = sessions.begin(actor, alice, ADDRESS)
    assert epoch_reader.read().counter == before + 1
    assert sessions.find_edge(issued[0].edge_token) is None
    assert sessions.find_edge(issued[1].edge_token) is not None
    assert sessions.find_edge(last.edge_token) is not None
    with storage.read() as connection:
        assert connection.scalar(select(func.count()).select_from(table)) == PER_USER


def test_what_a_browser_says_of_itself_is_cut(sessions: Sessions, actor: Actor, alice: int) -> None:
    issued = sessions.begin(actor, alice, ADDRESS, "x" * 10_000)
    assert len(issued.session.user_agent) == 256


def test_a_sweep_removes_only_the_dead(
    sessions: Sessions, storage: Storage, actor: Actor, alice: int, clock: FixedClock
) -> None:
    idle = sessions.begin(actor, alice, ADDRESS)
    expired = sessions.begin(actor, alice, ADDRESS)
    clock.advance(24 * HOUR)
    alive = sessions.begin(actor, alice, ADDRESS)
    with storage.write() as connection:
        statement = update(table).where(table.c.id == expired.session.id)
        connection.execute(statement.values(last_seen_at=clock.now(), expires_at=clock.now()))
    assert sessions.sweep() == 2
    with storage.read() as connection:
        assert list(connection.scalars(select(table.c.id))) == [alive.session.id]
    assert idle.session.id != alive.session.id


@pytest.mark.threat("DAT-3")
def test_beginning_and_ending_are_audited_without_tokens(
    sessions: Sessions, storage: Storage, audit: Audit, alice: int
) -> None:
    me = Actor(kind="user", name="alice", address=ADDRESS)
    first = sessions.begin(me, alice, ADDRESS)
    second = sessions.renew(me, first.session.id, ADDRESS)
    sessions.revoke(me, second.session.id)
    sessions.begin(me, alice, ADDRESS)
    sessions.revoke_user(me, alice)
    with storage.read() as connection:
        rows = connection.execute(select(audit_table).order_by(audit_table.c.id)).all()[2:]
    actions = ["session.begin", "session.renew", "session.revoke", "session.begin", "session.revoke_user"]
    assert [row.action for row in rows] == actions
    assert {(row.actor, row.address, row.target) for row in rows} == {("user:alice", ADDRESS, "user/alice")}
    assert not any(token in repr(rows) for token in (first.panel_token, first.edge_token, second.edge_token))
    assert audit.verify() is None


def test_nobody_begins_a_session_for_nobody(sessions: Sessions, actor: Actor) -> None:
    with pytest.raises(NotFound):
        sessions.begin(actor, 4711, ADDRESS)


@pytest.mark.threat("LOG-5")
def test_a_password_that_was_reset_while_it_was_checked_begins_no_session(
    accounts: Accounts, sessions: Sessions, actor: Actor, alice: int
) -> None:
    checked = accounts.authenticate("alice", "correct horse", ADDRESS)
    accounts.reset_password(actor, "alice", "battery staple")
    with pytest.raises(Conflict, match="changed"):
        sessions.begin(actor, alice, ADDRESS, credential=checked.credential)
    again = accounts.authenticate("alice", "battery staple", ADDRESS)
    assert sessions.begin(actor, alice, ADDRESS, credential=again.credential).session.username == "alice"
    assert checked.credential not in repr(checked).encode()
