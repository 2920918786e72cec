"""The vault: data keys wrapped by the master key, and sealed envelopes under them.

Random, versioned data keys (one line for each purpose) do the work; the master key
only wraps them. An envelope is bound to the place it was sealed for (SEC-1):
moved to another row or column it does not open.

Envelope: one version byte, the data key's version (4 bytes, big-endian), a fresh
random 12-byte nonce (SEC-2), AES-256-GCM's ciphertext with its tag. The additional
data is the header and ``table NUL column NUL row``.
"""

from __future__ import annotations

import hashlib
import secrets
import struct
import threading
from typing import Literal

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sqlalchemy import Connection, func, insert, select, update

from argos.errors import ArgosError
from argos.storage.engine import Storage
from argos.storage.tables import data_keys

Purpose = Literal["vault", "audit", "backup", "password"]
PURPOSES: tuple[Purpose, ...] = ("vault", "audit", "backup", "password")

KEY_BYTES = 32
NONCE_BYTES = 12
ENVELOPE_VERSION = 1
_HEADER = struct.Struct(">BI")


class WrongMasterKey(ArgosError):
    """The data is wrapped under another master key."""

    def __init__(self, wanted: str, given: str) -> None:
        self.wanted = wanted
        self.given = given
        super().__init__(
            f"ARGOS_MASTER_KEY is the wrong key for this database: its data wants the key with id {wanted}, "
            f"the one given has id {given}; put back the key with id {wanted}"
        )


class BrokenSeal(ArgosError):
    """An envelope does not open: altered, moved from another place, or of an unknown key."""


def key_id(master_key: bytes) -> str:
    """Return a master key's short fingerprint, safe to show: 16 hex digits."""
    return hashlib.sha256(b"argos master key id\0" + master_key).hexdigest()[:16]


class Vault:
    """Seals, opens and hands out data keys.

    Makes the data keys that a new database lacks, so it is constructed after
    :meth:`Storage.migrate` and outside any transaction.

    Args:
        storage: a migrated database.
        master_key: 32 bytes.
        next_key: during a rotation, the key that stands beside the old one: whichever of the
            two wraps the data keys at this moment is used.

    Attributes:
        key_id: id of the master key that wraps the data keys.

    Raises:
        WrongMasterKey: the stored data keys are under another master key.
    """

    def __init__(self, storage: Storage, master_key: bytes, next_key: bytes | None = None) -> None:
        given = [key for key in (master_key, next_key) if key is not None]
        for key in given:
            if len(key) != KEY_BYTES:
                raise ValueError(f"the master key has {len(key)} bytes, not {KEY_BYTES}")
        self._storage = storage
        self._masters = {key_id(key): AESGCM(key) for key in given}
        self.key_id = key_id(master_key)
        self._lock = threading.Lock()
        self._keys: dict[tuple[str, int], bytes] = {}
        self._newest: dict[str, int] = {}
        self._load()
        if any(purpose not in self._newest for purpose in PURPOSES):
            self._make_missing()

    def seal(self, table: str, column: str, row: str, plain: bytes) -> bytes:
        """Encrypt ``plain`` for one place; two seals of one text are never equal."""
        version, key = self.key("vault")
        header = _HEADER.pack(ENVELOPE_VERSION, version)
        nonce = secrets.token_bytes(NONCE_BYTES)
        return header + nonce + AESGCM(key).encrypt(nonce, plain, header + _place(table, column, row))

    def open(self, table: str, column: str, row: str, sealed: bytes) -> bytes:
        """Decrypt what :meth:`seal` made for the same place.

        Raises:
            BrokenSeal: it was altered, or sealed for another place.
        """
        place = _place(table, column, row)
        start = _HEADER.size + NONCE_BYTES
        try:
            # The envelope's own version byte is 1 so far; as additional data, another one fails the tag.
            _unused, version = _HEADER.unpack_from(sealed)
            _unused, key = self.key("vault", version)
            nonce, header = sealed[_HEADER.size : start], sealed[: _HEADER.size]
            return AESGCM(key).decrypt(nonce, sealed[start:], header + place)
        except (InvalidTag, LookupError, ValueError, struct.error):
            raise BrokenSeal(f"{table}.{column} of {row!r}: the sealed value does not open") from None

    def key(self, purpose: Purpose, version: int | None = None) -> tuple[int, bytes]:
        """Return a data key and its version; the newest without ``version``.

        Raises:
            LookupError: no such version.
        """
        wanted = self._newest[purpose] if version is None else version
        found = self._keys.get((purpose, wanted))
        if found is None:
            self._load()  # another process may have added a version
            found = self._keys.get((purpose, wanted))
        if found is None:
            raise LookupError(f"no {purpose} key of version {wanted}")
        return wanted, found

    @property
    def given_ids(self) -> tuple[str, ...]:
        """The ids of the master keys that this process holds: one, and two during a rotation."""
        return tuple(self._masters)

    def refresh(self) -> None:
        """Look the data keys up again: another process may have added versions.

        Raises:
            WrongMasterKey: they were re-wrapped under a key that this process does not hold.
        """
        self._load()

    def wrapped(self, purpose: Purpose) -> tuple[int, str, bytes]:
        """The newest key of ``purpose`` as it is stored, for what travels without the database.

        Returns:
            Its version, the id of the master key that wraps it, and the wrapped key.
        """
        version, _unused = self.key(purpose)
        with self._storage.read() as connection:
            found = connection.execute(
                select(data_keys).where(data_keys.c.purpose == purpose, data_keys.c.version == version)
            ).one()
            return version, str(found.master_key_id), bytes(found.wrapped)

    def add_version(self, purpose: Purpose) -> int:
        """Make a new random key for ``purpose``, used from now on; old ones stay for what they sealed."""
        with self._storage.write() as connection:
            version = self.add_version_in(connection, purpose)
        self._load()
        return version

    def add_version_in(self, connection: Connection, purpose: Purpose) -> int:
        """The same in the caller's transaction, who calls :meth:`refresh` once it is committed."""
        newest = connection.scalar(select(func.max(data_keys.c.version)).where(data_keys.c.purpose == purpose))
        version = int(newest or 0) + 1
        self._insert(connection, purpose, version)
        return version

    def rewrap(self, new_master_key: bytes) -> None:
        """Wrap every data key under another master key, all or none; this vault goes on with the new one."""
        with self._storage.write() as connection:
            self.rewrap_in(connection, new_master_key)
        self._load()

    def rewrap_in(self, connection: Connection, new_master_key: bytes) -> None:
        """The same in the caller's transaction, who calls :meth:`refresh` once it is committed."""
        new = AESGCM(new_master_key)
        new_id = key_id(new_master_key)
        # What the old key wrapped is overwritten, not only unlinked: the old key may be why there is a new one.
        connection.exec_driver_sql("PRAGMA secure_delete=ON")
        for row in connection.execute(select(data_keys)).all():
            key = self._unwrap(row.purpose, row.version, row.master_key_id, row.wrapped)
            connection.execute(
                update(data_keys)
                .where(data_keys.c.purpose == row.purpose, data_keys.c.version == row.version)
                .values(master_key_id=new_id, wrapped=_wrap(new, row.purpose, row.version, key))
            )
        self._masters = {**self._masters, new_id: new}

    def _load(self) -> None:
        with self._storage.read() as connection:
            rows = connection.execute(select(data_keys)).all()
        keys = {
            (row.purpose, row.version): self._unwrap(row.purpose, row.version, row.master_key_id, row.wrapped)
            for row in rows
        }
        newest: dict[str, int] = {}
        for purpose, version in keys:
            newest[purpose] = max(version, newest.get(purpose, 0))
        with self._lock:
            self._keys, self._newest = keys, newest
            if rows:
                self.key_id = rows[0].master_key_id  # one for all: a rewrap is one transaction

    def _make_missing(self) -> None:
        with self._storage.write() as connection:
            # Looked at again inside the transaction: two processes may start on one new database.
            there = set(connection.scalars(select(data_keys.c.purpose)))
            for purpose in PURPOSES:
                if purpose not in there:
                    self._insert(connection, purpose, 1)
        self._load()

    def _insert(self, connection: Connection, purpose: Purpose, version: int) -> None:
        # Asked of the database: another process may have re-wrapped since this one looked.
        wraps = connection.scalar(select(data_keys.c.master_key_id).limit(1)) or self.key_id
        if wraps not in self._masters:
            raise WrongMasterKey(wanted=wraps, given=" and ".join(self._masters))
        connection.execute(
            insert(data_keys).values(
                purpose=purpose,
                version=version,
                master_key_id=wraps,
                wrapped=_wrap(self._masters[wraps], purpose, version, secrets.token_bytes(KEY_BYTES)),
                created_at=self._storage.clock.now(),
            )
        )

    def _unwrap(self, purpose: str, version: int, wrapped_under: str, wrapped: bytes) -> bytes:
        master = self._masters.get(wrapped_under)
        if master is None:
            raise WrongMasterKey(wanted=wrapped_under, given=" and ".join(self._masters))
        try:
            return master.decrypt(wrapped[:NONCE_BYTES], wrapped[NONCE_BYTES:], _key_place(purpose, version))
        except (InvalidTag, ValueError):
            raise BrokenSeal(f"data_keys: the {purpose} key, version {version}, was altered") from None


def envelope_key_version(sealed: bytes) -> int:
    """The version of the vault key under which ``sealed`` was made.

    Raises:
        BrokenSeal: it is too short to be an envelope.
    """
    try:
        return int(_HEADER.unpack_from(sealed)[1])
    except struct.error:
        raise BrokenSeal("too short to be a sealed value") from None


def unwrap_data_key(master_key: bytes, purpose: Purpose, version: int, wrapped: bytes) -> bytes:
    """Open one wrapped data key that stands outside a database, as in a backup's header.

    Raises:
        BrokenSeal: another master key wrapped it, or it was altered.
    """
    try:
        return AESGCM(master_key).decrypt(wrapped[:NONCE_BYTES], wrapped[NONCE_BYTES:], _key_place(purpose, version))
    except (InvalidTag, ValueError):
        raise BrokenSeal(f"the {purpose} key, version {version}, does not open with this master key") from None


def _wrap(master: AESGCM, purpose: str, version: int, key: bytes) -> bytes:
    nonce = secrets.token_bytes(NONCE_BYTES)
    return nonce + master.encrypt(nonce, key, _key_place(purpose, version))


def _key_place(purpose: str, version: int) -> bytes:
    return b"argos data key\0" + purpose.encode() + b"\0" + str(version).encode()


def _place(table: str, column: str, row: str) -> bytes:
    for part in (table, column, row):
        if "\0" in part:
            raise ValueError("a place's names hold no NUL")  # or "a\0b" + "c" would equal "a" + "b\0c"
    return f"{table}\0{column}\0{row}".encode("utf-8", "surrogatepass")
