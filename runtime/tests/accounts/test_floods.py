"""DAT-4: what strangers can fill is bounded, and whom it belongs to does not notice. Throttle and OIDC: beside them."""

from __future__ import annotations

import pyotp
import pytest
from argos.accounts import Accounts
from argos.accounts.devices import PER_USER
from argos.accounts.links import PasswordLinks
from argos.accounts.records import Records
from argos.accounts.second_factor import SecondFactors
from argos.audit import Actor
from argos.clock import FixedClock
from argos.sessions import Session, Sessions
from argos.sessions.store import CHALLENGES_PER_USER
from argos.storage import tables
from argos.storage.engine import Storage
from argos.vault import Vault
from sqlalchemy import func, insert, select

ADDRESS = "203.0.113.5"
ALICE = Actor("user", "alice", ADDRESS)


@pytest.fixture
def links(records: Records) -> PasswordLinks:
    return PasswordLinks(records)


@pytest.fixture
def whole(
    accounts: Accounts, records: Records, vault: Vault, sessions: Sessions, clock: FixedClock, actor: Actor
) -> Session:
    """Alice, signed in with her second factor."""
    user = accounts.create(actor, "alice", "member", "correct horse battery")
    factors = SecondFactors(records, vault)
    session = sessions.begin(ALICE, user.id, ADDRESS).session
    secret = factors.begin(ALICE, session).secret
    return factors.confirm(ALICE, session, pyotp.TOTP(secret).at(clock.now())).issued.session


@pytest.mark.long
@pytest.mark.threat("DAT-4")
def test_a_hundred_thousand_challenges_devices_and_links_go_when_their_person_comes_again(
    whole: Session, accounts: Accounts, links: PasswordLinks, sessions: Sessions, storage: Storage, clock: FixedClock
) -> None:
    now, user_id = clock.now(), whole.user_id
    hashes = [(b"%032d" % number, b"%032d" % (number + 10**9)) for number in range(100_000)]
    half = {
        "user_id": user_id,
        "assurance": "second_factor",
        "created_at": now,
        "last_seen_at": now,
        "expires_at": now + 300,
        "address": ADDRESS,
    }
    with storage.write() as connection:
        challenges = [half | {"panel_token_hash": panel, "edge_token_hash": edge} for panel, edge in hashes]
        connection.execute(insert(tables.sessions), challenges)
        devices = [{"token_hash": token, "created_at": now, "last_used_at": now - 1} for token, _unused in hashes]
        connection.execute(insert(tables.known_devices), [device | {"user_id": user_id} for device in devices])
        made = [{"token_hash": token, "user_id": user_id, "expires_at": now + 60} for token, _unused in hashes]
        connection.execute(insert(tables.password_links), made)
    mine = sessions.begin(ALICE, user_id, ADDRESS).session
    device = accounts.remember_device(user_id)
    link = links.issue(ALICE, "alice")
    there = sessions.list_for(user_id)
    assert len(there) == CHALLENGES_PER_USER + 1
    assert {mine.id, whole.id} <= {session.id for session in there}, "the newest, and the whole one, stay"
    with storage.read() as connection:
        for table, most in ((tables.known_devices, PER_USER), (tables.password_links, 1)):
            assert connection.scalar(select(func.count()).select_from(table)) == most
    assert accounts.remember_device(user_id, device) == device
    found = links.find(link)
    assert found is not None
    assert found.username == "alice"
