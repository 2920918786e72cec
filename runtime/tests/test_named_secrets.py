"""Named secrets: written once, never shown, known to the scrubber."""

from __future__ import annotations

import pytest
from argos.audit import Actor, Audit
from argos.errors import Conflict, Invalid, NotFound
from argos.named_secrets import VALUE_LIMIT, NamedSecrets
from argos.scrub import Scrubber
from argos.storage.engine import Storage
from argos.storage.tables import audit as audit_table
from argos.storage.tables import named_secrets as table
from argos.vault import BrokenSeal, Vault
from sqlalchemy import select, update


def test_setting_the_same_value_again_changes_nothing(
    named_secrets: NamedSecrets, storage: Storage, actor: Actor
) -> None:
    assert named_secrets.would_change("smtp", "a password") is True
    assert named_secrets.set(actor, "smtp", "a password") is True
    with storage.read() as connection:
        before = connection.execute(select(table)).one()
    assert named_secrets.would_change("smtp", "a password") is False
    assert named_secrets.set(actor, "smtp", "a password") is False
    with storage.read() as connection:
        assert connection.execute(select(table)).one() == before
    assert named_secrets.set(actor, "smtp", "a new password") is True
    assert named_secrets.reveal("smtp") == "a new password"


def test_names_and_deletion(named_secrets: NamedSecrets, actor: Actor) -> None:
    named_secrets.set(actor, "smtp", "a password")
    named_secrets.set(actor, "cloudflare", "a token ✓")
    assert named_secrets.names() == ["cloudflare", "smtp"]
    assert named_secrets.delete(actor, "smtp") is True
    assert named_secrets.delete(actor, "smtp") is False
    assert named_secrets.names() == ["cloudflare"]
    with pytest.raises(NotFound, match="secret/smtp"):
        named_secrets.reveal("smtp")


@pytest.mark.parametrize("name", ["", "-a", "A", "a_b", "a" * 64, "a\n", "a/b", "ä", "'; DROP TABLE audit; --"])
def test_a_bad_name_is_refused(named_secrets: NamedSecrets, actor: Actor, name: str) -> None:
    with pytest.raises(Invalid) as raised:
        named_secrets.set(actor, name, "a password")
    assert [error.field for error in raised.value.errors] == ["name"]


@pytest.mark.parametrize("value", ["", "x" * (VALUE_LIMIT + 1), "é" * (VALUE_LIMIT // 2 + 1), "\ud800"])
def test_a_bad_value_is_refused_and_not_quoted(named_secrets: NamedSecrets, actor: Actor, value: str) -> None:
    with pytest.raises(Invalid) as raised:
        named_secrets.set(actor, "smtp", value)
    assert [error.field for error in raised.value.errors] == ["value"]
    assert not value or value[:100] not in raised.value.message


def test_the_largest_value_is_kept(named_secrets: NamedSecrets, actor: Actor) -> None:
    named_secrets.set(actor, "a" * 63, "x" * VALUE_LIMIT)
    assert named_secrets.reveal("a" * 63) == "x" * VALUE_LIMIT


@pytest.mark.threat("DAT-3")
def test_every_change_is_audited_without_values(
    named_secrets: NamedSecrets, storage: Storage, audit: Audit, actor: Actor
) -> None:
    named_secrets.set(actor, "smtp", "a password")
    named_secrets.set(actor, "smtp", "a new password")
    named_secrets.delete(actor, "smtp")
    with storage.read() as connection:
        rows = connection.execute(select(audit_table).order_by(audit_table.c.id)).all()
    assert [(row.action, row.target) for row in rows] == [
        ("secret.create", "secret/smtp"),
        ("secret.update", "secret/smtp"),
        ("secret.delete", "secret/smtp"),
    ]
    assert "password" not in repr(rows)
    assert audit.verify() is None


@pytest.mark.threat("SEC-1")
def test_a_sealed_value_copied_to_another_name_does_not_open(
    named_secrets: NamedSecrets, storage: Storage, actor: Actor
) -> None:
    named_secrets.set(actor, "smtp", "a password")
    named_secrets.set(actor, "cloudflare", "a token")
    with storage.write() as connection:
        sealed = connection.scalar(select(table.c.sealed).where(table.c.name == "smtp"))
        connection.execute(update(table).where(table.c.name == "cloudflare").values(sealed=sealed))
    with pytest.raises(BrokenSeal):
        named_secrets.reveal("cloudflare")


def test_the_digest_follows_the_values(named_secrets: NamedSecrets, actor: Actor) -> None:
    absent = named_secrets.digest(["smtp"])
    named_secrets.set(actor, "smtp", "a password")
    first = named_secrets.digest(["smtp"])
    named_secrets.set(actor, "other", "something")
    assert named_secrets.digest(["smtp"]) == first == named_secrets.digest(["smtp", "smtp"])
    named_secrets.set(actor, "smtp", "a new password")
    second = named_secrets.digest(["smtp"])
    named_secrets.delete(actor, "smtp")
    assert named_secrets.digest(["smtp"]) == absent
    named_secrets.set(actor, "smtp", "a password")
    assert named_secrets.digest(["smtp"]) == first
    assert len({absent, first, second, named_secrets.digest(["other"]), named_secrets.digest([])}) == 5


def test_what_is_only_checked_is_not_learnt_and_what_is_refused_is(
    named_secrets: NamedSecrets, scrubber: Scrubber, actor: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    named_secrets.set(actor, "smtp", "a password")
    known = len(scrubber)
    assert named_secrets.would_change("smtp", "another password") is True
    assert named_secrets.would_change("imap", "another password") is True
    assert len(scrubber) == known
    monkeypatch.setattr("argos.scrub.MOST_HELD", known)
    for refused in (named_secrets.would_change, lambda name, value: named_secrets.set(actor, name, value)):
        with pytest.raises(Conflict, match="secret/imap: the secrets have too many lines together") as raised:
            refused("imap", "another password")
        assert "another password" not in raised.value.message
    assert named_secrets.names() == ["smtp"]
    assert scrubber.scrub("another password") == "[redacted]"
    assert named_secrets.set(actor, "smtp", "a passw0rd") is True


def test_a_value_that_another_process_replaced_or_deleted_is_let_go(
    named_secrets: NamedSecrets, storage: Storage, vault: Vault, audit: Audit, scrubber: Scrubber, actor: Actor
) -> None:
    named_secrets.set(actor, "smtp", "a password")
    named_secrets.set(actor, "imap", "a mailbox")
    other = NamedSecrets(storage, vault, audit, Scrubber())
    other.set(actor, "smtp", "a new password")
    other.delete(actor, "imap")
    assert named_secrets.reveal("smtp") == "a new password"
    assert scrubber.scrub("a new password, a mailbox") == "[redacted], [redacted]"
    named_secrets.sweep()
    assert scrubber.held() == ["secret/smtp"]


def test_stored_values_are_known_to_the_scrubber_after_a_restart(
    named_secrets: NamedSecrets, storage: Storage, vault: Vault, audit: Audit, actor: Actor
) -> None:
    named_secrets.set(actor, "smtp", "a password")
    scrubber = Scrubber()
    NamedSecrets(storage, vault, audit, scrubber)
    assert scrubber.scrub("login with a password failed") == "login with [redacted] failed"
