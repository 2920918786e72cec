"""One-time set-password links: single use, a day long, worth nothing afterwards."""

from __future__ import annotations

import hashlib
import threading

import pytest
from argos.accounts import Accounts, BadCredentials
from argos.accounts.links import PasswordLinks
from argos.accounts.people import People, Wanted
from argos.accounts.records import Records
from argos.audit import Actor
from argos.clock import FixedClock
from argos.epoch import EpochReader
from argos.errors import Conflict, Invalid, NotFound
from argos.sessions import Sessions
from argos.storage.engine import Storage
from argos.storage.tables import audit as audit_table
from argos.storage.tables import password_links
from sqlalchemy import select

ADDRESS = "203.0.113.7"
NEW = "a new and long one"


@pytest.fixture
def links(records: Records) -> PasswordLinks:
    return PasswordLinks(records)


@pytest.fixture
def token(links: PasswordLinks, accounts: Accounts, actor: Actor) -> str:
    accounts.create(actor, "alice")
    return links.issue(actor, "alice")


def test_a_link_sets_the_password_once(links: PasswordLinks, accounts: Accounts, token: str) -> None:
    found = links.find(token)
    assert found is not None
    assert found.username == "alice"
    links.use(token, NEW, ADDRESS)
    assert not accounts.authenticate("alice", NEW, ADDRESS).must_change_password
    assert links.find(token) is None
    with pytest.raises(NotFound):
        links.use(token, "yet another one", ADDRESS)
    accounts.authenticate("alice", NEW, ADDRESS)


def test_only_the_sha_256_of_a_link_is_stored(storage: Storage, token: str) -> None:
    with storage.read() as connection:
        stored = connection.scalar(select(password_links.c.token_hash))
        audited = str(connection.execute(select(audit_table)).all())
    assert stored == hashlib.sha256(token.encode()).digest()
    assert len(token) == 43, "32 bytes"
    assert token not in audited


def test_a_link_ends_after_a_day(links: PasswordLinks, clock: FixedClock, token: str) -> None:
    clock.advance(86399)
    assert links.find(token) is not None
    clock.advance(1)
    assert links.find(token) is None
    with pytest.raises(NotFound):
        links.use(token, NEW, ADDRESS)
    assert links.sweep() == 1


def test_a_newer_link_a_reset_disabling_and_deleting_void_a_link(
    links: PasswordLinks, accounts: Accounts, people: People, actor: Actor, token: str
) -> None:
    newer = links.issue(actor, "alice")
    assert links.find(token) is None
    people.put(actor, "alice", Wanted(disabled=True))
    assert links.find(newer) is None
    with pytest.raises(Conflict):
        links.issue(actor, "alice")
    people.put(actor, "alice", Wanted(disabled=False))
    accounts.reset_password(actor, "alice", "set by an admin")
    assert links.find(newer) is None
    last = links.issue(actor, "alice")
    people.remove(actor, "alice")
    assert links.find(last) is None


def test_a_bad_password_leaves_the_link_good_and_a_bad_token_is_nobodys(links: PasswordLinks, token: str) -> None:
    with pytest.raises(Invalid):
        links.use(token, "short", ADDRESS)
    assert links.find(token) is not None
    for wrong in ("", "x", token[:-1], token + "a", "é" * 43, "A" * 43):
        assert links.find(wrong) is None
        with pytest.raises(NotFound):
            links.use(wrong, NEW, ADDRESS)


@pytest.mark.threat("LOG-5")
def test_using_a_link_ends_every_session(
    links: PasswordLinks,
    accounts: Accounts,
    sessions: Sessions,
    epoch_reader: EpochReader,
    actor: Actor,
    token: str,
) -> None:
    issued = sessions.begin(actor, accounts.get("alice").id, ADDRESS)
    counter = epoch_reader.read().counter
    links.use(token, NEW, ADDRESS)
    assert sessions.find_edge(issued.edge_token) is None
    assert epoch_reader.read().counter > counter


def test_of_many_uses_at_once_exactly_one_sets_the_password(
    links: PasswordLinks, accounts: Accounts, token: str
) -> None:
    won: list[int] = []
    barrier = threading.Barrier(12)

    def use(number: int) -> None:
        barrier.wait()
        try:
            links.use(token, f"{NEW} {number}", ADDRESS)
        except NotFound:
            return
        won.append(number)

    threads = [threading.Thread(target=use, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1
    accounts.authenticate("alice", f"{NEW} {won[0]}", ADDRESS)
    with pytest.raises(BadCredentials):
        accounts.authenticate("alice", f"{NEW} {won[0] + 1}", ADDRESS)
