"""Accounts as they are declared: exact plans, idempotent changes, and rights that end at once."""

from __future__ import annotations

import pytest
from argos.accounts import Accounts, BadCredentials, LastAdmin
from argos.accounts.links import PasswordLinks
from argos.accounts.people import People, Wanted
from argos.accounts.records import Records
from argos.audit import Actor
from argos.epoch import EpochReader
from argos.errors import Conflict, Invalid, NotFound
from argos.sessions import Sessions
from argos.storage.engine import Storage
from argos.storage.tables import audit as audit_table
from sqlalchemy import func, select

RIGHT = "correct horse"
ADDRESS = "203.0.113.7"


def audit_rows(storage: Storage) -> int:
    with storage.read() as connection:
        return connection.scalar(select(func.count()).select_from(audit_table)) or 0


def test_a_plan_is_what_is_then_done_and_a_second_run_changes_nothing(
    people: People, accounts: Accounts, storage: Storage, actor: Actor
) -> None:
    wanted = Wanted(
        name="Alice", email="alice@home.example", groups=("work", "family", "work"), password=RIGHT, role="admin"
    )
    rows = audit_rows(storage)
    planned = people.put(actor, "alice", wanted, check=True)
    assert planned.changed
    assert planned.before is None
    assert audit_rows(storage) == rows
    assert people.put(actor, "alice", wanted) == planned
    assert planned.after is not None
    assert planned.after["groups"] == ["family", "work"]
    assert planned.after["password"] == "set"
    assert RIGHT not in str(planned)
    rows = audit_rows(storage)
    again = people.put(actor, "alice", wanted)
    assert not again.changed
    assert again.before == again.after
    assert audit_rows(storage) == rows
    alice = accounts.get("alice")
    assert alice.groups == ("family", "work")
    assert alice.email_verified


def test_a_password_is_compared_here_and_set_only_where_it_is_another_one(
    people: People, accounts: Accounts, actor: Actor
) -> None:
    accounts.create(actor, "alice", "member", RIGHT)
    other = Wanted(password="another password")
    assert not people.put(actor, "alice", Wanted(password=RIGHT)).changed
    kept = Wanted(password="another password", update_password="on_create")
    assert not people.put(actor, "alice", kept).changed
    planned = people.put(actor, "alice", other, check=True)
    assert planned.changed
    assert planned.before != planned.after
    accounts.authenticate("alice", RIGHT, ADDRESS)
    assert people.put(actor, "alice", other) == planned
    accounts.authenticate("alice", "another password", ADDRESS)


@pytest.mark.threat("LOG-5")
@pytest.mark.parametrize(
    "wanted",
    [Wanted(role="admin"), Wanted(groups=("family",)), Wanted(disabled=True), Wanted(password="another one")],
    ids=["role", "groups", "disabled", "password"],
)
def test_a_change_of_rights_ends_the_sessions_and_advances_the_epoch(
    people: People,
    accounts: Accounts,
    sessions: Sessions,
    epoch_reader: EpochReader,
    actor: Actor,
    wanted: Wanted,
) -> None:
    alice = accounts.create(actor, "alice", "member", RIGHT)
    issued = sessions.begin(actor, alice.id, ADDRESS)
    counter = epoch_reader.read().counter
    people.put(actor, "alice", wanted, check=True)
    assert sessions.find_edge(issued.edge_token) is not None
    assert epoch_reader.read().counter == counter
    people.put(actor, "alice", wanted)
    assert sessions.find_edge(issued.edge_token) is None
    assert sessions.find_panel(issued.panel_token) is None
    assert epoch_reader.read().counter > counter


@pytest.mark.threat("LOG-5")
def test_another_email_leaves_the_sign_in_and_empties_the_gates_cache(
    people: People, accounts: Accounts, sessions: Sessions, epoch_reader: EpochReader, actor: Actor
) -> None:
    alice = accounts.create(actor, "alice", "member", RIGHT, email="alice@work.example", email_verified=True)
    issued = sessions.begin(actor, alice.id, ADDRESS)
    counter = epoch_reader.read().counter
    people.put(actor, "alice", Wanted(email=""))
    assert sessions.find_edge(issued.edge_token) is not None
    assert epoch_reader.read().counter > counter
    assert not accounts.get("alice").email_verified


def test_the_last_admin_stays(people: People, accounts: Accounts, actor: Actor) -> None:
    accounts.create(actor, "root", "admin", RIGHT)
    for check in (True, False):
        for wanted in (Wanted(role="member"), Wanted(disabled=True)):
            with pytest.raises(LastAdmin):
                people.put(actor, "root", wanted, check=check)
        with pytest.raises(LastAdmin):
            people.remove(actor, "root", check=check)
    accounts.create(actor, "second", "admin", RIGHT)
    assert people.remove(actor, "root", check=True).changed
    assert people.remove(actor, "root").changed
    assert not people.remove(actor, "root").changed


def test_every_wrong_value_is_told_at_once(people: People, actor: Actor) -> None:
    wrong = Wanted(email="nowhere", groups=("Family", "role:admin"), password="hunter2")
    with pytest.raises(Invalid) as caught:
        people.put(actor, "-x", wrong, check=True)
    assert [error.field for error in caught.value.errors] == ["username", "email", "groups", "groups", "password"]
    assert "hunter2" not in str(caught.value)
    with pytest.raises(Invalid):
        people.put(actor, "alice", Wanted(groups=tuple(f"g{number}" for number in range(65))))


def test_a_link_is_made_with_the_account_and_never_for_one_that_exists(
    people: People, accounts: Accounts, records: Records, actor: Actor
) -> None:
    wanted = Wanted(groups=("family",), link="on_create")
    planned = people.put(actor, "alice", wanted, check=True)
    assert (planned.changed, planned.link_token) == (True, None)
    made = people.put(actor, "alice", wanted)
    assert made.after == planned.after
    assert made.link_token is not None
    assert made.link_token not in repr(made)
    again = people.put(actor, "alice", wanted)
    assert (again.changed, again.link_token) == (False, None)
    PasswordLinks(records).use(made.link_token, RIGHT, ADDRESS)
    accounts.authenticate("alice", RIGHT, ADDRESS)
    with pytest.raises(Invalid, match="link: is asked for together with a password"):
        people.put(actor, "bob", Wanted(password=RIGHT, link="on_create"), check=True)
    for check in (True, False):
        with pytest.raises(Invalid, match="link: is asked for with a disabled account"):
            people.put(actor, "bob", Wanted(disabled=True, link="on_create"), check=check)
    assert people.put(actor, "alice", Wanted(disabled=True, link="on_create")).changed


def test_who_may_only_be_changed_is_not_made(people: People, accounts: Accounts, actor: Actor) -> None:
    for check in (True, False):
        with pytest.raises(NotFound):
            people.put(actor, "nobody", Wanted(name="Nobody"), check=check, create=False)
        with pytest.raises(NotFound):
            people.put(actor, "<no name>", Wanted(name="Nobody"), check=check, create=False)
    assert accounts.list() == []


@pytest.mark.threat("LOG-5")
def test_a_reset_takes_the_password_away_before_the_link_is_used(
    people: People, accounts: Accounts, records: Records, sessions: Sessions, epoch_reader: EpochReader, actor: Actor
) -> None:
    alice = accounts.create(actor, "alice", "member", RIGHT)
    issued, counter = sessions.begin(actor, alice.id, ADDRESS), epoch_reader.read().counter
    links = PasswordLinks(records)
    older = links.issue(actor, "alice")
    token = links.reset(actor, "alice")
    assert epoch_reader.read().counter > counter
    assert sessions.find_edge(issued.edge_token) is None
    assert links.find(older) is None
    with pytest.raises(BadCredentials):
        accounts.authenticate("alice", RIGHT, ADDRESS)
    links.use(token, "another password", ADDRESS)
    accounts.authenticate("alice", "another password", ADDRESS)
    people.put(actor, "alice", Wanted(disabled=True))
    with pytest.raises(Conflict):
        links.reset(actor, "alice")
