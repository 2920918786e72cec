"""Accounts: every change is audited, and what takes rights away takes them at once."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
from argos.accounts import Accounts, BadCredentials, LastAdmin, Passwords, SetupCompleted
from argos.accounts.links import PasswordLinks
from argos.accounts.passwords import PasswordHash
from argos.accounts.people import People, Wanted
from argos.accounts.records import Records
from argos.audit import Actor, Audit
from argos.epoch import EpochReader
from argos.errors import Conflict, Invalid, NotFound
from argos.sessions import Session, Sessions
from argos.storage.engine import Storage
from argos.storage.tables import audit as audit_table
from argos.storage.tables import known_devices, users
from sqlalchemy import select

ADDRESS = "203.0.113.7"
RIGHT = "correct horse"

Change = Callable[[Records, Actor, Session], object]

REVOKING: dict[str, Change] = {
    "change_password": lambda records, actor, session: Accounts(records).change_password(
        actor, session, RIGHT, "another one"
    ),
    "reset_password": lambda records, actor, _unused: Accounts(records).reset_password(actor, "alice", "another one"),
    "disable": lambda records, actor, _unused: People(records).put(actor, "alice", Wanted(disabled=True)),
    "demote": lambda records, actor, _unused: People(records).put(actor, "alice", Wanted(role="member")),
    "delete": lambda records, actor, _unused: People(records).remove(actor, "alice"),
}


@pytest.fixture
def actor() -> Actor:
    return Actor(kind="user", name="root", address="198.51.100.4")


@pytest.fixture
def alice(accounts: Accounts, actor: Actor) -> int:
    accounts.create(actor, "root", "admin", RIGHT)
    return accounts.create(actor, "alice", "admin", RIGHT, name="Alice", email="alice@home.example").id


@pytest.mark.threat("LOG-5")
@pytest.mark.parametrize("change", REVOKING.values(), ids=REVOKING)
def test_what_takes_rights_away_ends_the_sessions_and_advances_the_epoch(
    accounts: Accounts,
    records: Records,
    sessions: Sessions,
    epoch_reader: EpochReader,
    actor: Actor,
    alice: int,
    change: Change,
) -> None:
    issued = [sessions.begin(actor, alice, ADDRESS) for _unused in range(2)]
    roots = sessions.begin(actor, accounts.get("root").id, ADDRESS)
    before = epoch_reader.read().counter
    change(records, actor, issued[0].session)
    assert epoch_reader.read().counter > before
    for one in issued:
        assert sessions.find_panel(one.panel_token) is None
        assert sessions.find_edge(one.edge_token) is None
    assert sessions.find_edge(roots.edge_token) is not None


@pytest.mark.threat("DAT-3")
@pytest.mark.parametrize("change", REVOKING.values(), ids=REVOKING)
def test_every_change_is_audited_without_the_password(
    records: Records, sessions: Sessions, storage: Storage, audit: Audit, actor: Actor, alice: int, change: Change
) -> None:
    session = sessions.begin(actor, alice, ADDRESS).session
    with storage.read() as connection:
        before = connection.execute(select(audit_table)).all()
    change(records, actor, session)
    with storage.read() as connection:
        rows = connection.execute(select(audit_table).order_by(audit_table.c.id)).all()[len(before) :]
    assert [(row.actor, row.address, row.target) for row in rows] == [("user:root", "198.51.100.4", "user/alice")]
    assert "alice@home.example" in rows[0].before
    for hidden in (RIGHT, "another one", "$2b$"):
        assert hidden not in repr(rows)
    assert audit.verify() is None


@pytest.mark.threat("DAT-3")
def test_a_refused_change_leaves_no_trace(
    accounts: Accounts, people: People, storage: Storage, actor: Actor, alice: int
) -> None:
    with storage.read() as connection:
        before = connection.execute(select(audit_table)).all()
    with pytest.raises(Conflict):
        accounts.create(actor, "ALICE", "member", RIGHT)
    people.put(actor, "alice", Wanted(role="admin", disabled=False))
    assert not people.remove(actor, "nobody").changed
    with storage.read() as connection:
        assert connection.execute(select(audit_table)).all() == before


def test_an_account_is_what_was_asked_for(accounts: Accounts, alice: int) -> None:
    user = accounts.get("Alice")
    assert (user.id, user.username, user.name, user.email) == (alice, "alice", "Alice", "alice@home.example")
    assert (user.role, user.provider, user.disabled, user.has_password) == ("admin", "local", False, True)
    assert [one.username for one in accounts.list()] == ["alice", "root"]
    assert accounts.get_by_id(alice) == user


def test_an_id_is_never_given_again(accounts: Accounts, people: People, actor: Actor, alice: int) -> None:
    people.remove(actor, "alice")
    assert accounts.create(actor, "alice").id > alice


@pytest.mark.threat("DAT-1")
@pytest.mark.parametrize("username", ["", " ", "' OR 1=1 --", "a" * 65, "älice", "a\0b", "a\n", ".a", "%", "\ud800"])
def test_an_odd_username_is_refused_and_finds_nobody(
    accounts: Accounts, actor: Actor, alice: int, username: str
) -> None:
    with pytest.raises(Invalid) as raised:
        accounts.create(actor, username, "member", RIGHT)
    assert [error.field for error in raised.value.errors] == ["username"]
    with pytest.raises(NotFound):
        accounts.get(username)
    with pytest.raises(NotFound):
        accounts.reset_password(actor, username, RIGHT)
    assert len(accounts.list()) == 2


def test_all_errors_come_at_once(accounts: Accounts, actor: Actor) -> None:
    with pytest.raises(Invalid) as raised:
        accounts.create(actor, "a b", "owner", "hunter2", name="x\ny", email="x" * 255)  # type: ignore[arg-type]
    assert {error.field for error in raised.value.errors} == {"username", "role", "password", "name", "email"}
    assert "hunter2" not in raised.value.message


def test_the_first_admin_must_change_the_password(accounts: Accounts, sessions: Sessions, actor: Actor) -> None:
    assert accounts.setup_completed() is False
    user = accounts.first_admin(actor, "admin", RIGHT)
    assert (user.role, user.must_change_password) == ("admin", True)
    assert accounts.setup_completed() is True
    assert sessions.begin(actor, user.id, ADDRESS).session.assurance == "password_change"
    me = Actor(kind="user", name="admin", address=ADDRESS)
    session = sessions.begin(me, user.id, ADDRESS).session
    with pytest.raises(Invalid, match="is the current password"):
        accounts.change_password(me, session, RIGHT, RIGHT)
    changed = accounts.change_password(me, session, RIGHT, "another one")
    assert changed.must_change_password is False
    assert sessions.begin(actor, user.id, ADDRESS).session.assurance == "full"


def test_set_up_never_reopens(accounts: Accounts, storage: Storage, actor: Actor) -> None:
    accounts.first_admin(actor, "admin", RIGHT)
    with pytest.raises(SetupCompleted):
        accounts.first_admin(actor, "other", RIGHT)
    with storage.write() as connection:
        connection.exec_driver_sql("DELETE FROM users")
    with pytest.raises(SetupCompleted):
        accounts.first_admin(actor, "admin", RIGHT)
    assert accounts.list() == []


def test_a_race_for_the_first_admin_has_one_winner(accounts: Accounts, actor: Actor) -> None:
    outcomes: list[str] = []
    start = threading.Barrier(4)

    def race(number: int) -> None:
        start.wait()
        try:
            outcomes.append(accounts.first_admin(actor, f"admin{number}", RIGHT).username)
        except SetupCompleted:
            outcomes.append("")

    threads = [threading.Thread(target=race, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [user.username for user in accounts.list()] == [name for name in outcomes if name]
    assert outcomes.count("") == 3


@pytest.mark.parametrize("change", [REVOKING["disable"], REVOKING["demote"], REVOKING["delete"]])
def test_the_last_enabled_admin_stays(
    records: Records, people: People, sessions: Sessions, actor: Actor, alice: int, change: Change
) -> None:
    session = sessions.begin(actor, alice, ADDRESS).session
    people.put(actor, "root", Wanted(disabled=True))
    with pytest.raises(LastAdmin, match="user/alice: is the last enabled admin"):
        change(records, actor, session)
    people.put(actor, "root", Wanted(disabled=False))
    change(records, actor, session)
    with pytest.raises(LastAdmin):
        people.remove(actor, "root")


def test_two_admins_cannot_remove_one_another_at_once(
    accounts: Accounts, people: People, actor: Actor, alice: int
) -> None:
    start = threading.Barrier(2)

    def remove(username: str) -> None:
        start.wait()
        try:
            people.remove(actor, username)
        except LastAdmin:
            return

    threads = [threading.Thread(target=remove, args=(name,)) for name in ("alice", "root")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(accounts.list()) == 1


def test_changing_a_password_takes_the_current_one_and_counts_failures(
    accounts: Accounts, sessions: Sessions, alice: int
) -> None:
    me = Actor(kind="user", name="alice", address=ADDRESS)
    session = sessions.begin(me, alice, ADDRESS).session
    for _unused in range(5):
        with pytest.raises(BadCredentials):
            accounts.change_password(me, session, "wrong horse", "another one")
    with pytest.raises(Exception, match="Too many failed sign-ins"):
        accounts.change_password(me, session, RIGHT, "another one")


def test_a_bad_new_password_is_refused_before_the_current_one_is_looked_at(
    accounts: Accounts, sessions: Sessions, alice: int
) -> None:
    me = Actor(kind="user", name="alice", address=ADDRESS)
    with pytest.raises(Invalid, match="new_password"):
        accounts.change_password(me, sessions.begin(me, alice, ADDRESS).session, "wrong horse", "short")


MEANWHILE: dict[str, Change] = {
    "a reset": lambda records, actor, _unused: Accounts(records).reset_password(actor, "alice", "set by an admin"),
    "a link": lambda records, actor, _unused: PasswordLinks(records).use(
        PasswordLinks(records).issue(actor, "alice"), "set by a link", ADDRESS
    ),
    "signing out everywhere": lambda records, actor, session: records.sessions.revoke_user(actor, session.user_id),
    "signing this one out": lambda records, actor, session: records.sessions.revoke(actor, session.id),
    "disabling": lambda records, actor, _unused: People(records).put(actor, "alice", Wanted(disabled=True)),
    "removing": lambda records, actor, _unused: People(records).remove(actor, "alice"),
}


@pytest.mark.threat("LOG-5")
@pytest.mark.parametrize("meanwhile", MEANWHILE.values(), ids=MEANWHILE)
def test_a_password_change_undoes_nothing_that_came_while_it_was_hashed(
    accounts: Accounts,
    records: Records,
    sessions: Sessions,
    storage: Storage,
    actor: Actor,
    alice: int,
    meanwhile: Change,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The thief knows the old password and changes it; the administrator takes the account back in that moment."""
    thief = Actor(kind="user", name="alice", address=ADDRESS)
    session = sessions.begin(thief, alice, ADDRESS).session
    hash_, done = Passwords.hash, []

    def waiting(self: Passwords, password: str) -> PasswordHash:
        hashed = hash_(self, password)
        if password == "the thief's own":
            meanwhile(records, actor, session)
            with storage.read() as connection:
                done.append(connection.execute(select(users).where(users.c.id == alice)).first())
        return hashed

    monkeypatch.setattr(Passwords, "hash", waiting)
    with pytest.raises((Conflict, NotFound)):
        accounts.change_password(thief, session, RIGHT, "the thief's own")
    with storage.read() as connection:
        assert [connection.execute(select(users).where(users.c.id == alice)).first()] == done
    assert sessions.list_for(alice) == []


def test_a_deleted_persons_devices_go_too(
    accounts: Accounts, people: People, storage: Storage, actor: Actor, alice: int
) -> None:
    accounts.remember_device(alice)
    people.remove(actor, "alice")
    with storage.read() as connection:
        assert connection.execute(select(known_devices)).all() == []


@pytest.mark.threat("DAT-4")
def test_a_person_has_at_most_twenty_devices(accounts: Accounts, storage: Storage, alice: int) -> None:
    tokens = [accounts.remember_device(alice) for _unused in range(25)]
    with storage.read() as connection:
        assert len(connection.execute(select(known_devices)).all()) == 20
    assert len(set(tokens)) == 25
