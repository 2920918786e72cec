"""Accounts: every change is audited, and what takes rights away takes them at once."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
from argos.accounts import Accounts, BadCredentials, LastAdmin, SetupCompleted
from argos.audit import Actor, Audit
from argos.epoch import EpochReader
from argos.errors import Conflict, Invalid, NotFound
from argos.sessions import Sessions
from argos.storage.engine import Storage
from argos.storage.tables import audit as audit_table
from argos.storage.tables import known_devices
from sqlalchemy import select

ADDRESS = "203.0.113.7"
RIGHT = "correct horse"

Change = Callable[[Accounts, Actor, int], object]

REVOKING: dict[str, Change] = {
    "change_password": lambda accounts, actor, user_id: accounts.change_password(actor, user_id, RIGHT, "another one"),
    "reset_password": lambda accounts, actor, _unused: accounts.reset_password(actor, "alice", "another one"),
    "disable": lambda accounts, actor, _unused: accounts.set_disabled(actor, "alice", True),
    "demote": lambda accounts, actor, _unused: accounts.set_role(actor, "alice", "member"),
    "delete": lambda accounts, actor, _unused: accounts.delete(actor, "alice"),
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
    accounts: Accounts, sessions: Sessions, epoch_reader: EpochReader, actor: Actor, alice: int, change: Change
) -> None:
    issued = [sessions.begin(actor, alice, ADDRESS) for _unused in range(2)]
    roots = sessions.begin(actor, accounts.get("root").id, ADDRESS)
    before = epoch_reader.read().counter
    change(accounts, actor, alice)
    assert epoch_reader.read().counter > before
    for one in issued:
        assert sessions.find_panel(one.panel_token) is None
        assert sessions.find_edge(one.edge_token) is None
    assert sessions.find_edge(roots.edge_token) is not None


@pytest.mark.threat("DAT-3")
@pytest.mark.parametrize("change", REVOKING.values(), ids=REVOKING)
def test_every_change_is_audited_without_the_password(
    accounts: Accounts, storage: Storage, audit: Audit, actor: Actor, alice: int, change: Change
) -> None:
    with storage.read() as connection:
        before = connection.execute(select(audit_table)).all()
    change(accounts, actor, alice)
    with storage.read() as connection:
        rows = connection.execute(select(audit_table).order_by(audit_table.c.id)).all()[len(before) :]
    assert [(row.actor, row.address, row.target) for row in rows] == [("user:root", "198.51.100.4", "user/alice")]
    assert "alice@home.example" in rows[0].before
    for hidden in (RIGHT, "another one", "$2b$"):
        assert hidden not in repr(rows)
    assert audit.verify() is None


@pytest.mark.threat("DAT-3")
def test_a_refused_change_leaves_no_trace(accounts: Accounts, storage: Storage, actor: Actor, alice: int) -> None:
    with storage.read() as connection:
        before = connection.execute(select(audit_table)).all()
    with pytest.raises(Conflict):
        accounts.create(actor, "ALICE", "member", RIGHT)
    accounts.set_role(actor, "alice", "admin")
    accounts.set_disabled(actor, "alice", False)
    assert accounts.delete(actor, "nobody") is False
    with storage.read() as connection:
        assert connection.execute(select(audit_table)).all() == before


def test_an_account_is_what_was_asked_for(accounts: Accounts, alice: int) -> None:
    user = accounts.get("Alice")
    assert (user.id, user.username, user.name, user.email) == (alice, "alice", "Alice", "alice@home.example")
    assert (user.role, user.provider, user.disabled, user.has_password) == ("admin", "local", False, True)
    assert [one.username for one in accounts.list()] == ["alice", "root"]
    assert accounts.get_by_id(alice) == user


def test_an_id_is_never_given_again(accounts: Accounts, actor: Actor, alice: int) -> None:
    accounts.delete(actor, "alice")
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
        accounts.set_disabled(actor, username, True)
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
    with pytest.raises(Invalid, match="is the current password"):
        accounts.change_password(me, user.id, RIGHT, RIGHT)
    changed = accounts.change_password(me, user.id, RIGHT, "another one")
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
def test_the_last_enabled_admin_stays(accounts: Accounts, actor: Actor, alice: int, change: Change) -> None:
    accounts.set_disabled(actor, "root", True)
    with pytest.raises(LastAdmin, match="user/alice: is the last enabled admin"):
        change(accounts, actor, alice)
    accounts.set_disabled(actor, "root", False)
    change(accounts, actor, alice)
    with pytest.raises(LastAdmin):
        accounts.delete(actor, "root")


def test_two_admins_cannot_remove_one_another_at_once(accounts: Accounts, actor: Actor, alice: int) -> None:
    start = threading.Barrier(2)

    def remove(username: str) -> None:
        start.wait()
        try:
            accounts.delete(actor, username)
        except LastAdmin:
            return

    threads = [threading.Thread(target=remove, args=(name,)) for name in ("alice", "root")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(accounts.list()) == 1


def test_changing_a_password_takes_the_current_one_and_counts_failures(accounts: Accounts, alice: int) -> None:
    me = Actor(kind="user", name="alice", address=ADDRESS)
    for _unused in range(5):
        with pytest.raises(BadCredentials):
            accounts.change_password(me, alice, "wrong horse", "another one")
    with pytest.raises(Exception, match="Too many failed sign-ins"):
        accounts.change_password(me, alice, RIGHT, "another one")


def test_a_bad_new_password_is_refused_before_the_current_one_is_looked_at(accounts: Accounts, alice: int) -> None:
    me = Actor(kind="user", name="alice", address=ADDRESS)
    with pytest.raises(Invalid, match="new_password"):
        accounts.change_password(me, alice, "wrong horse", "short")


def test_a_deleted_persons_devices_go_too(accounts: Accounts, storage: Storage, actor: Actor, alice: int) -> None:
    accounts.remember_device(alice)
    accounts.delete(actor, "alice")
    with storage.read() as connection:
        assert connection.execute(select(known_devices)).all() == []


@pytest.mark.threat("DAT-4")
def test_a_person_has_at_most_twenty_devices(accounts: Accounts, storage: Storage, alice: int) -> None:
    tokens = [accounts.remember_device(alice) for _unused in range(25)]
    with storage.read() as connection:
        assert len(connection.execute(select(known_devices)).all()) == 20
    assert len(set(tokens)) == 25
