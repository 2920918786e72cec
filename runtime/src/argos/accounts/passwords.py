"""Passwords: a keyed pre-hash, then bcrypt at cost 12, a bounded number at once.

bcrypt reads 72 bytes only, so the whole password first goes through HMAC-SHA-256
under the vault's ``password`` key: its length does not matter, and a stolen
database without the key cannot be guessed at. The output is base64, since bcrypt
stops at a NUL. The password's bytes are taken as given, UTF-8, not normalised.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import bcrypt

from argos.accounts.errors import Busy
from argos.errors import FieldError
from argos.vault import Vault

COST = 12
SHORTEST = 8  # characters
LONGEST = 1024  # bytes of UTF-8
QUEUE = 32
WAIT_S = 10.0


@dataclass(frozen=True)
class PasswordHash:
    """bcrypt's text, and the version of the password key under it."""

    text: str
    key_version: int


class Passwords:
    """Hashes and verifies.

    Args:
        vault: gives the password key.
        cost: bcrypt's; tests of other things lower it.
        slots: how many hashes run at once; default one core less than this process may use, at least one.
        queue: how many may wait for a slot; one more is :class:`Busy`.
        wait: seconds that one waits at most.
    """

    def __init__(
        self, vault: Vault, *, cost: int = COST, slots: int | None = None, queue: int = QUEUE, wait: float = WAIT_S
    ) -> None:
        self._vault = vault
        self._cost = cost
        free = max(1, len(os.sched_getaffinity(0)) - 1) if slots is None else slots
        self._slots = threading.Semaphore(free)
        self._places = threading.Semaphore(free + queue)
        self.wait = wait
        version, _unused = vault.key("password")
        # LOG-2: who has no password is checked against this one, of the same cost; nobody knows its password.
        self._dummy = PasswordHash(self._bcrypt(secrets.token_urlsafe(32), version), version)

    @property
    def key_version(self) -> int:
        """The version that new hashes get."""
        return self._vault.key("password")[0]

    def hash(self, password: str) -> PasswordHash:
        """Hash a password for storing.

        Raises:
            Busy: too many hashes are under way.
        """
        version = self.key_version
        with self.place(), self._slot():
            return PasswordHash(self._bcrypt(password, version), version)

    def verify(self, password: str, stored: PasswordHash | None) -> bool:
        """Tell whether ``password`` is the stored one; without one, take just as long and say no.

        Raises:
            Busy: too many hashes are under way.
        """
        with self.place():
            return self.verify_in_place(password, stored)

    def verify_in_place(self, password: str, stored: PasswordHash | None) -> bool:
        """As :meth:`verify`, for who has a :meth:`place` already.

        Raises:
            Busy: the wait for a slot was too long.
        """
        against = stored or self._dummy
        with self._slot():
            try:
                right = bcrypt.checkpw(self._pre_hash(password, against.key_version), against.text.encode())
            except (ValueError, LookupError):
                return False  # a stored text that is no bcrypt hash: nobody signs in with it
        return right and stored is not None

    def _bcrypt(self, password: str, version: int) -> str:
        return bcrypt.hashpw(self._pre_hash(password, version), bcrypt.gensalt(self._cost)).decode()

    def _pre_hash(self, password: str, version: int) -> bytes:
        _unused, key = self._vault.key("password", version)
        digest = hmac.new(key, password.encode("utf-8", "surrogatepass"), hashlib.sha256).digest()
        return base64.b64encode(digest)

    @contextmanager
    def place(self) -> Iterator[None]:
        """Hold one of the places for those whose password is hashed or who wait for that.

        Raises:
            Busy: there is none.
        """
        if not self._places.acquire(blocking=False):
            raise Busy
        try:
            yield
        finally:
            self._places.release()

    @contextmanager
    def _slot(self) -> Iterator[None]:
        if not self._slots.acquire(timeout=self.wait):
            raise Busy
        try:
            yield
        finally:
            self._slots.release()


def password_problems(resource: str, password: str, field: str = "password") -> list[FieldError]:
    """Return what is wrong with a new password, without quoting it."""
    if len(password) < SHORTEST:
        return [FieldError(resource, field, f"is too short: {len(password)} characters", f"at least {SHORTEST}")]
    try:
        size = len(password.encode())
    except UnicodeEncodeError:
        return [FieldError(resource, field, "is not Unicode", "text in UTF-8")]
    if size > LONGEST:
        return [FieldError(resource, field, f"is too long: {size} bytes", f"at most {LONGEST} bytes of UTF-8")]
    return []
