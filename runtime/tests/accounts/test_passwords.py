"""Passwords: whole, keyed, costly, and a bounded number at once."""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import threading
import time

import bcrypt
import pytest
from argos.accounts.errors import Busy
from argos.accounts.passwords import COST, PasswordHash, Passwords, password_problems
from argos.vault import Vault


@pytest.mark.threat("LOG-1")
def test_the_cost_is_twelve(vault: Vault) -> None:
    assert COST == 12
    assert Passwords(vault).hash("correct horse").text.startswith("$2b$12$")


def test_a_password_verifies_and_another_does_not(passwords: Passwords) -> None:
    stored = passwords.hash("correct horse")
    assert passwords.verify("correct horse", stored)
    assert not passwords.verify("correct horsf", stored)
    assert not passwords.verify("", stored)
    assert passwords.hash("correct horse").text != stored.text


def test_every_byte_counts_whatever_the_length(passwords: Passwords) -> None:
    long = "x" * 1000
    stored = passwords.hash(long + "a")
    assert passwords.verify(long + "a", stored)
    assert not passwords.verify(long + "b", stored)
    assert not passwords.verify(long, stored)
    zero = passwords.hash("before\0after")
    assert not passwords.verify("before\0other", zero)


def test_the_bytes_are_taken_as_given(passwords: Passwords) -> None:
    composed, decomposed = "caf\u00e9 caf\u00e9", "cafe\u0301 cafe\u0301"
    stored = passwords.hash(composed)
    assert passwords.verify(composed, stored)
    assert not passwords.verify(decomposed, stored)


def test_no_digest_is_a_password_without_the_key(passwords: Passwords, vault: Vault) -> None:
    stored = passwords.hash("correct horse")
    bare = base64.b64encode(hashlib.sha256(b"correct horse").digest())
    assert not bcrypt.checkpw(bare, stored.text.encode())
    assert not bcrypt.checkpw(b"correct horse", stored.text.encode())
    keyed = base64.b64encode(hmac.digest(vault.key("password")[1], b"correct horse", "sha256"))
    assert bcrypt.checkpw(keyed, stored.text.encode())
    assert not passwords.verify(keyed.decode(), stored)


def test_a_hash_under_an_older_key_still_verifies(passwords: Passwords, vault: Vault) -> None:
    old = passwords.hash("correct horse")
    vault.add_version("password")
    new = passwords.hash("correct horse")
    assert (old.key_version, new.key_version) == (1, 2)
    assert passwords.verify("correct horse", old)
    assert passwords.verify("correct horse", new)
    assert not passwords.verify("correct horse", PasswordHash(old.text, 2))


@pytest.mark.parametrize("stored", [PasswordHash("", 1), PasswordHash("nonsense", 1), PasswordHash("$2b$04$x", 1)])
def test_a_damaged_hash_signs_nobody_in(passwords: Passwords, stored: PasswordHash) -> None:
    assert not passwords.verify("correct horse", stored)


def test_a_hash_of_a_key_that_is_gone_signs_nobody_in(passwords: Passwords) -> None:
    assert not passwords.verify("correct horse", PasswordHash(passwords.hash("correct horse").text, 9))


@pytest.mark.threat("LOG-2")
def test_without_a_stored_password_it_takes_as_long_and_says_no(vault: Vault) -> None:
    passwords = Passwords(vault, cost=8)
    stored = passwords.hash("correct horse")
    taken: dict[PasswordHash | None, list[float]] = {None: [], stored: []}
    # In turn, and short: what else the machine does for a while then slows both down alike.
    for _unused in range(20):
        for against, times in taken.items():
            before = time.thread_time()
            assert not passwords.verify("wrong horse", against)
            times.append(time.thread_time() - before)

    assert 0.7 < min(taken[None]) / min(taken[stored]) < 1.4


@pytest.mark.threat("DAT-4")
def test_more_at_once_than_slots_and_queue_are_refused(vault: Vault, monkeypatch: pytest.MonkeyPatch) -> None:
    passwords = Passwords(vault, cost=4, slots=1, queue=2, wait=60)
    stored = passwords.hash("correct horse")
    outcomes: list[object] = []
    start, all_refused = threading.Barrier(10), threading.Event()
    checkpw = bcrypt.checkpw

    def slow(password: bytes, hashed: bytes) -> bool:
        assert all_refused.wait(60)  # however late the others come
        return checkpw(password, hashed)

    monkeypatch.setattr(bcrypt, "checkpw", slow)

    def verify() -> None:
        start.wait()
        try:
            outcomes.append(passwords.verify("correct horse", stored))
        except Busy as error:
            outcomes.append(error.retry_after)
        if outcomes.count(5) == 7:
            all_refused.set()

    threads = [threading.Thread(target=verify) for _unused in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outcomes == [5] * 7 + [True] * 3
    assert passwords.verify("correct horse", stored)  # all places were given back


def test_one_core_is_left_free(vault: Vault, monkeypatch: pytest.MonkeyPatch) -> None:
    for cores, expected in ((1, 1), (2, 1), (8, 7)):
        monkeypatch.setattr(os, "sched_getaffinity", lambda _pid, cores=cores: set(range(cores)))
        passwords = Passwords(vault, cost=4, queue=0)
        taken = 0
        while passwords._slots.acquire(blocking=False):
            taken += 1
        assert taken == expected


@pytest.mark.parametrize(
    ("password", "problem"),
    [
        ("1234567", "is too short: 7 characters"),
        ("é" * 513, "is too long: 1026 bytes"),
        ("x" * 1025, "is too long: 1025 bytes"),
        ("\ud800" * 8, "is not Unicode"),
    ],
)
def test_a_bad_password_is_named_and_not_quoted(password: str, problem: str) -> None:
    errors = password_problems("user/alice", password)
    assert [error.problem for error in errors] == [problem]
    assert password not in str(errors[0])


@pytest.mark.parametrize("password", ["12345678", "x" * 1024, "é" * 512, "        "])
def test_length_is_the_only_rule(password: str) -> None:
    assert password_problems("user/alice", password) == []
