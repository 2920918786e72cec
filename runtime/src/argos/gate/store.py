"""Read-only lookups in the runtime's database, kept alive through its absence, locks and replacement.

The gate opens the file as another user who may not write. One connection stays open:
it keeps the WAL's companions from vanishing while the runtime restarts.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from argos.gate.decision import GateSettings, HostRule, SessionFacts
from argos.half_restored import half_restored

RETRY_SECONDS = 0.1
"""Pause between attempts to open a database that could not be read: a flood must not become a flood of opens."""

LOCK_SECONDS = 0.05
"""Longest wait for a lock. Readers of a WAL wait only while one is recovered; the gate serves everyone meanwhile."""

_SETTINGS = "SELECT panel_url, cookie_name, idle_seconds FROM gate_settings WHERE id = 1"
_RULE = "SELECT rule FROM gate_hosts WHERE host_id = ?"
_SESSION = """
SELECT u.username, u.name, u.email, u.provider, u.role, s.assurance, u.disabled, s.expires_at, s.last_seen_at,
u.groups, u.email_verified, s.second_factor
FROM sessions AS s JOIN users AS u ON u.id = s.user_id WHERE s.edge_token_hash = ?
"""
_decode_rule = msgspec.json.Decoder(HostRule).decode
_decode_groups = msgspec.json.Decoder(tuple[str, ...]).decode


class StoreUnavailable(Exception):
    """The database cannot be read now; the message says why, in SQLite's words."""


class _HalfRestored(Exception):
    """A restore's journal stands."""


class Store:
    """Sessions, rules and settings in the database at ``path``; every failure is :class:`StoreUnavailable`."""

    def __init__(self, path: Path, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._path = path
        self._uri = f"{path.absolute().as_uri()}?mode=ro"
        self._monotonic = monotonic
        self._connection: sqlite3.Connection | None = None
        self._file: tuple[int, int] | None = None
        self._retry_at = 0.0
        self.state = "not opened yet"

    def settings(self) -> GateSettings:
        """Return the gate's settings; a database without them is unavailable."""
        row = self._row(_SETTINGS, ())
        if row is None:
            raise StoreUnavailable("nothing has been applied yet")
        panel_url, cookie_name, idle_seconds = row
        return GateSettings(panel_url=panel_url, cookie_name=cookie_name, idle_seconds=idle_seconds)

    def rule(self, host_id: str) -> HostRule | None:
        """Return the rule of a protected host, None when there is none of that name."""
        row = self._row(_RULE, (host_id,))
        if row is None:
            return None
        try:
            return _decode_rule(row[0])
        except msgspec.MsgspecError as error:
            raise StoreUnavailable(f"gate_hosts/{host_id}: {error}") from error

    def session(self, token_hash: bytes) -> SessionFacts | None:
        """Return the session whose edge token has this SHA-256, valid or not, None when there is none."""
        row = self._row(_SESSION, (token_hash,))
        if row is None:
            return None
        username, name, email, provider, role, assurance, disabled, expires_at, last_seen_at, *rest = row
        groups, email_verified, second_factor = rest
        try:
            named = _decode_groups(groups)
        except msgspec.MsgspecError as error:
            raise StoreUnavailable(f"users/{username}: groups: {error}") from error
        return SessionFacts(
            username=username,
            name=name,
            email=email,
            provider=provider,
            # APPSEC: a stored name with a colon would be taken for a role.
            groups=(*(group for group in named if ":" not in group), f"role:{role}"),
            assurance=assurance,
            disabled=bool(disabled),
            expires_at=expires_at,
            last_seen_at=last_seen_at,
            email_verified=bool(email_verified),
            second_factor=bool(second_factor),
        )

    def probe(self) -> str:
        """Return ``ok``, or why nobody can be let in, in one line."""
        try:
            self.settings()
        except StoreUnavailable as error:
            return str(error)
        return "ok"

    def close(self) -> None:
        """Close the connection, if one is open."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _row(self, sql: str, values: tuple[object, ...]) -> tuple[Any, ...] | None:
        if self._connection is None and self._monotonic() < self._retry_at:
            raise StoreUnavailable(self.state)
        try:
            self._refuse_half_restored()
            connection = self._open()
            row: tuple[Any, ...] | None = connection.execute(sql, values).fetchone()
        except (sqlite3.Error, OSError, _HalfRestored) as error:
            self._failed(error)
            raise StoreUnavailable(self.state) from error
        self.state = "ok"
        return row

    def _refuse_half_restored(self) -> None:
        # APPSEC: which database lies there is anybody's guess; sessions that the restore ends may be in it.
        if half_restored(self._path.parent):
            raise _HalfRestored("a restore was interrupted; complete it with argos restore --resume")

    def _open(self) -> sqlite3.Connection:
        # The file's identity is checked on every lookup: a restore puts another file in its place.
        status = self._path.stat()
        file = (status.st_dev, status.st_ino)
        if self._connection is None or file != self._file:
            self.close()
            connection = sqlite3.connect(self._uri, uri=True, timeout=LOCK_SECONDS, isolation_level=None)
            connection.execute("PRAGMA query_only = 1")
            self._connection, self._file = connection, file
        return self._connection

    def _failed(self, error: Exception) -> None:
        self.state = f"{type(error).__name__}: {error}" if isinstance(error, OSError) else str(error)
        self._retry_at = self._monotonic() + RETRY_SECONDS
        if getattr(error, "sqlite_errorcode", None) != sqlite3.SQLITE_BUSY:
            self.close()
