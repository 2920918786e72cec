"""LOG-2: who fails to sign in learns nothing about which accounts there are."""

from __future__ import annotations

from collections.abc import Iterator

import bcrypt
import pytest
from argos.accounts import Accounts, BadCredentials, Passwords
from argos.accounts.people import People, Wanted
from argos.audit import Actor
from argos.storage.engine import Storage
from argos.storage.tables import users
from argos.vault import Vault
from sqlalchemy import event, select, update

RIGHT = "correct horse"
ADDRESS = "203.0.113.7"

# What somebody may type that signs nobody in.
CLASSES = {
    "wrong password": ("alice", "wrong horse"),
    "unknown user": ("nobody", RIGHT),
    "OIDC only": ("oscar", RIGHT),
    "disabled": ("dora", RIGHT),
    "no username": ("", RIGHT),
    "impossible username": ("'; DROP TABLE users; --", RIGHT),
    "endless username": ("x" * 100_000, RIGHT),
    "not Unicode": ("\ud800", "\ud800"),
    "endless password": ("alice", RIGHT * 100_000),
    "no password": ("alice", ""),
}


@pytest.fixture(autouse=True)
def everybody(accounts: Accounts, people: People, actor: Actor) -> None:
    accounts.create(actor, "alice", "admin", RIGHT)
    accounts.create(actor, "oscar", "member")
    accounts.create(actor, "dora", "member", RIGHT)
    people.put(actor, "dora", Wanted(disabled=True))


@pytest.fixture
def work(storage: Storage, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Everything that costs: each SQL statement, and each bcrypt with its cost. The real ones run."""
    done: list[str] = []
    checkpw = bcrypt.checkpw

    def noted(password: bytes, hashed: bytes) -> bool:
        done.append(f"bcrypt {hashed[:7].decode()} over {len(password)} bytes")
        return checkpw(password, hashed)

    def statement(_connection: object, _cursor: object, sql: str, *_rest: object) -> None:
        done.append(sql)

    monkeypatch.setattr(bcrypt, "checkpw", noted)
    engines = (storage._writer, storage._reader)
    for engine in engines:
        event.listen(engine, "before_cursor_execute", statement)
    yield done
    for engine in engines:
        event.remove(engine, "before_cursor_execute", statement)


@pytest.mark.threat("LOG-2")
@pytest.mark.parametrize("kind", CLASSES)
def test_every_failure_does_the_same_work(accounts: Accounts, work: list[str], kind: str) -> None:
    def done_for(username: str, password: str, address: str) -> list[str]:
        work.clear()
        with pytest.raises(BadCredentials):
            accounts.authenticate(username, password, address)
        return list(work)

    wrong_password = done_for("alice", "wrong horse", ADDRESS)
    assert sum(step.startswith("bcrypt $2b$04$") for step in wrong_password) == 1
    assert done_for(*CLASSES[kind], "203.0.113.99") == wrong_password


@pytest.mark.threat("LOG-2")
def test_every_failure_says_the_same(accounts: Accounts) -> None:
    messages = set()
    for number, (username, password) in enumerate(CLASSES.values()):
        with pytest.raises(BadCredentials) as raised:
            accounts.authenticate(username, password, f"203.0.113.{number}")
        messages.add((str(raised.value), type(raised.value)))
    assert len(messages) == 1


def test_the_right_password_signs_in_in_whatever_case_the_name_is(accounts: Accounts) -> None:
    assert accounts.authenticate("ALICE", RIGHT, ADDRESS).username == "alice"


def test_neither_name_nor_password_is_logged(accounts: Accounts, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("DEBUG"), pytest.raises(BadCredentials):
        accounts.authenticate("hunter2-typed-here", "a planted value", ADDRESS)
    assert "203.0.113.7" in caplog.text
    assert "hunter2" not in caplog.text
    assert "planted" not in caplog.text


@pytest.mark.threat("SEC-4")
def test_a_new_password_key_takes_effect_at_the_next_sign_in(
    accounts: Accounts, storage: Storage, vault: Vault
) -> None:
    def version() -> int:
        with storage.read() as connection:
            return connection.scalar(select(users.c.password_key_version).where(users.c.username == "alice"))

    vault.add_version("password")
    accounts.authenticate("alice", RIGHT, ADDRESS)
    assert version() == 2
    accounts.authenticate("alice", RIGHT, ADDRESS)
    with pytest.raises(BadCredentials):
        accounts.authenticate("alice", "wrong horse", ADDRESS)


def test_a_password_changed_while_it_was_checked_signs_nobody_in(
    accounts: Accounts, storage: Storage, passwords: Passwords, monkeypatch: pytest.MonkeyPatch
) -> None:
    verify = Passwords.verify_in_place

    def changed_meanwhile(self: Passwords, *arguments: object) -> bool:
        right = verify(self, *arguments)
        with storage.write() as connection:
            connection.execute(update(users).values(password_hash=passwords.hash("another").text))
        return right

    monkeypatch.setattr(Passwords, "verify_in_place", changed_meanwhile)
    with pytest.raises(BadCredentials):
        accounts.authenticate("alice", RIGHT, ADDRESS)
