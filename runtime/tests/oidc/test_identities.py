"""Whom a provider's people become here, and that they become nobody else."""

from __future__ import annotations

import json

import pytest
from argos.accounts import Accounts
from argos.accounts.records import Records
from argos.audit import Actor
from argos.epoch import EpochReader
from argos.errors import Conflict
from argos.named_secrets import NamedSecrets
from argos.oidc.break_glass import PROVIDER
from argos.oidc.errors import NotOffered
from argos.oidc.identities import RESERVED, Identities
from argos.oidc.policy import Arrival
from argos.oidc.service import Oidc
from argos.scrub import Scrubber
from argos.sessions import IssuedSession, Sessions
from argos.storage.engine import Storage
from argos.storage.tables import resources
from argos.storage.tables import sessions as sessions_table
from argos.vault import Vault
from sqlalchemy import insert, update

ISSUER = "https://auth.home.example"
ADDRESS = "203.0.113.7"
ALICE = Actor("user", "alice", ADDRESS)
HOST = {"upstreams": [{"url": "http://192.0.2.20:2342"}]}


@pytest.fixture
def identities(records: Records) -> Identities:
    return Identities(records)


def arrival(hint: str, subject: str = "a subject") -> Arrival:
    return Arrival(subject, hint, "A Newcomer", "new@home.example", False, None, None, False)


def declare_host(storage: Storage, name: str, users: list[str]) -> None:
    spec = json.dumps({"name": name, **HOST, "auth": {"required": True, "users": users}})
    with storage.write() as connection:
        connection.execute(insert(resources).values(kind="host", name=name, spec=spec, owner="", updated_at=0))


@pytest.mark.threat("OIDC-4")
@pytest.mark.parametrize("hint", [*sorted(RESERVED), "ROOT", "Admin", ".admin", "admin-", "@root@"])
def test_a_newcomer_gets_no_name_that_means_somebody(identities: Identities, accounts: Accounts, hint: str) -> None:
    _unused, username = identities.arrive(ISSUER, arrival(hint), ADDRESS, provision=True)
    assert username.lower() not in RESERVED
    assert username.endswith("-2")
    assert [user.username for user in accounts.list()] == [username]


@pytest.mark.threat("OIDC-4")
def test_a_newcomer_gets_no_name_that_a_hosts_rule_lets_in(identities: Identities, storage: Storage) -> None:
    declare_host(storage, "photos.home.example", ["carol", "Dora"])
    declare_host(storage, "wiki.home.example", ["dora-2"])
    with storage.write() as connection:  # one without any rule
        spec = json.dumps({"name": "open.home.example", **HOST})
        connection.execute(
            insert(resources).values(kind="host", name="open.home.example", spec=spec, owner="", updated_at=0)
        )
    for hint, username in (("Carol", "Carol-2"), ("dora", "dora-3"), ("erin", "erin")):
        first = identities.arrive(ISSUER, arrival(hint, subject=hint), ADDRESS, provision=True)
        assert first[1] == username
        assert identities.arrive(ISSUER, arrival(hint, subject=hint), ADDRESS, provision=True) == first, "it stays"


@pytest.fixture
def issued(identities: Identities, accounts: Accounts, sessions: Sessions, storage: Storage) -> list[IssuedSession]:
    """Alice by her password and twice by the provider, and Bob by the provider."""
    made = []
    for name, ways in (("alice", ["local", PROVIDER, PROVIDER]), ("bob", ["local", PROVIDER])):
        person = accounts.create(Actor("cli", "root"), name, "member", "correct horse")
        for number, provider in enumerate(ways):
            made.append(sessions.begin(Actor("user", name), person.id, ADDRESS))
            session_id = made[-1].session.id
            if number == 0:
                identities.link(Actor("user", name), ISSUER, arrival(name, name), person.id, session_id)
            with storage.write() as connection:
                which = sessions_table.c.id == session_id
                connection.execute(update(sessions_table).where(which).values(provider=provider))
    return made


@pytest.mark.threat("LOG-5")
def test_unlinking_ends_what_the_provider_signed_in_and_nothing_else(
    identities: Identities, sessions: Sessions, epoch_reader: EpochReader, issued: list[IssuedSession]
) -> None:
    before = epoch_reader.read().counter
    assert identities.unlink(ALICE, issued[0].session.user_id) == 1
    assert epoch_reader.read().counter > before
    alive = [sessions.find_edge(one.edge_token) is not None for one in issued]
    assert alive == [True, False, False, True, True]
    assert [sessions.find_panel(one.panel_token) is not None for one in issued] == alive
    assert not identities.is_linked(issued[0].session.user_id)
    assert identities.unlink(ALICE, issued[0].session.user_id) == 0


def test_who_has_no_password_cannot_unlink(identities: Identities) -> None:
    user_id, _unused = identities.arrive(ISSUER, arrival("carol"), ADDRESS, provision=True)
    with pytest.raises(Conflict, match="has no password"):
        identities.unlink(ALICE, user_id)
    assert identities.is_linked(user_id)


@pytest.mark.threat("LOG-5")
def test_a_sign_in_that_was_under_way_when_the_account_was_unlinked_ends_too(
    identities: Identities,
    records: Records,
    vault: Vault,
    named_secrets: NamedSecrets,
    scrubber: Scrubber,
    issued: list[IssuedSession],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    alice, begin = issued[0].session, Sessions.begin
    spec = json.dumps({"name": "Homelab ID", "issuer": ISSUER, "client_id": "argos"})
    with records.storage.write() as connection:
        connection.execute(insert(resources).values(kind="settings", name="oidc", spec=spec, owner="", updated_at=0))
    oidc = Oidc(records, vault, named_secrets, scrubber)

    def sign_in() -> IssuedSession:
        return oidc._begin_session(ISSUER, alice.user_id, ALICE, "", "an ID token", second_factor=False, proved_at=None)

    assert records.sessions.find_edge(sign_in().edge_token) is not None

    def unlinked_meanwhile(*arguments: object, **named: object) -> IssuedSession:
        made = begin(*arguments, **named)
        identities.unlink(ALICE, alice.user_id)
        return made

    monkeypatch.setattr(Sessions, "begin", unlinked_meanwhile)
    with pytest.raises(NotOffered):
        sign_in()
    assert [one.id for one in records.sessions.list_for(alice.user_id)] == [alice.id]
