"""Making, listing and dropping backups; what restores one is :mod:`argos.backup.restore`."""

from __future__ import annotations

import fcntl
import hashlib
import logging
import os
import re
import secrets
import shutil
import sqlite3
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import msgspec
from sqlalchemy import Select, delete, insert, select

from argos import __version__, durable_files
from argos.audit import Actor, Audit
from argos.backup import archive
from argos.errors import ArgosError, Conflict, NotFound, Unavailable
from argos.notify.outbox import Outbox
from argos.storage.engine import Storage, schema_version
from argos.storage.tables import backup_runs
from argos.vault import Vault

logger = logging.getLogger(__name__)

NAME = re.compile(r"argos-\d{8}T\d{6}Z-[0-9a-f]{4}\.backup")
KEEP_DAYS = 14
DAY_S = 86_400
RESERVE = 64 * 1024 * 1024
"""Bytes that stay free on the file system: a backup never fills the disk that the database grows on."""
MOST_RUNS = 500
_PIECE = 1 << 20
_ASKED_FOR = "A backup has already been requested and is about to start"


class Backup(msgspec.Struct, frozen=True):
    """One archive. ``size`` is in bytes; ``sha256`` of the whole file, empty for one put there by hand."""

    name: str
    created_at: int
    size: int
    sha256: str = ""


class Run(msgspec.Struct, frozen=True):
    """One try; ``reason`` says why it failed, ``request`` who asked by which id."""

    at: int
    state: str
    name: str = ""
    reason: str = ""
    request: str = ""


class Backups:
    """The backups of this guest.

    Args:
        storage: the living database.
        vault: its keys.
        audit: takes a row for each made, failed or dropped one.
        directory: where they lie; its owner's alone.
        request: the file that systemd watches (``argos-backup.path``).
        keep_days: older ones are dropped when a new one is whole; the newest never.
        outbox: takes a notice of each that failed.
    """

    def __init__(
        self,
        storage: Storage,
        vault: Vault,
        audit: Audit,
        *,
        directory: Path,
        request: Path,
        keep_days: int,
        outbox: Outbox,
    ) -> None:
        self._storage, self._vault, self._audit, self._outbox = storage, vault, audit, outbox
        self._directory, self._request, self._keep_days = directory, request, keep_days

    def create(self, actor: Actor, caddy: Mapping[str, bytes], request: str = "") -> Backup:
        """Make one, verify it by opening it, drop what is too old, and return it.

        Args:
            actor: who asks.
            caddy: Caddy's files by their names in its storage.
            request: the id of the request that this answers.

        Raises:
            Conflict: another backup is being made.
            Unavailable: no room, or the disk fails; the try is on record.
            BadArchive: what was written does not read back; it is removed.
        """
        try:
            with self._alone():
                made = self._made(caddy)
        except Conflict:
            raise
        except (OSError, sqlite3.Error, ArgosError) as problem:
            failure = problem if isinstance(problem, ArgosError) else Unavailable(f"{self._directory}: {problem}")
            self.note_failure(actor, failure, request)
            raise failure from None
        with self._storage.write() as connection:
            after = {"size": made.size, "sha256": made.sha256}
            self._audit.record(connection, actor, "backup.create", f"backup/{made.name}", None, after)
            row = {"at": made.created_at, "state": "ok", "request": request, **msgspec.structs.asdict(made)}
            row.pop("created_at")
            connection.execute(insert(backup_runs).values(**row))
        self._expire(actor, made)
        return made

    def listing(self) -> list[Backup]:
        """Every archive in the directory, newest first."""
        with self._storage.read() as connection:
            rows = connection.execute(select(backup_runs.c.name, backup_runs.c.sha256).where(backup_runs.c.name != ""))
            digests = {row.name: row.sha256 for row in rows}
        found = [
            Backup(path.name, _time_of(path.name), path.stat().st_size, digests.get(path.name, ""))
            for path in self._directory.glob("argos-*.backup")
            if NAME.fullmatch(path.name) and path.is_file() and not path.is_symlink()
        ]
        return sorted(found, key=lambda backup: backup.name, reverse=True)

    def ask_for(self, actor: Actor) -> str:
        """Ask systemd for one, as only root can begin it; return the request's id.

        Raises:
            Conflict: one was asked for and is not begun.
            Unavailable: the request cannot be written down.
        """
        request = secrets.token_hex(16)
        temporary = self._request.with_name(f".{request}")
        if self._request.exists():
            raise Conflict(_ASKED_FOR)
        try:
            try:
                temporary.write_text(request, encoding="ascii")
                # On record before it is asked for: what then fails costs a row without a backup, never the reverse.
                with self._storage.write() as connection:
                    self._audit.record(connection, actor, "backup.request", "backup", None, {"request": request})
                os.link(temporary, self._request)  # whole or not there, and never over another's
            finally:
                temporary.unlink(missing_ok=True)
        except FileExistsError:
            raise Conflict(_ASKED_FOR) from None
        except OSError as problem:
            raise Unavailable(f"{self._request}: {problem.strerror}") from None
        return request

    def run_of(self, request: str) -> Run | None:
        """The try that answered ``request``, None while there is none."""
        return self._run(select(backup_runs).where(backup_runs.c.request == request)) if request else None

    def last_run(self) -> Run | None:
        """The last try."""
        return self._run(select(backup_runs))

    def _run(self, wanted: Select[Any]) -> Run | None:
        with self._storage.read() as connection:
            row = connection.execute(wanted.order_by(backup_runs.c.id.desc()).limit(1)).first()
        return None if row is None else Run(row.at, row.state, row.name, row.reason, row.request)

    def path(self, name: str) -> Path:
        """Where the archive ``name`` lies.

        Raises:
            NotFound: there is none of that name.
        """
        path = self._directory / name
        if not NAME.fullmatch(name) or path.is_symlink() or not path.is_file():
            raise NotFound(f"backup/{name[:64]}: there is no such backup")
        return path

    def drop(self, actor: Actor, name: str) -> None:
        """Remove one.

        Raises:
            NotFound: there is none of that name.
            Unavailable: it cannot be put on record, and stays; or it is, and cannot be removed.
        """
        path = self.path(name)
        size = path.stat().st_size
        with self._storage.write() as connection:
            self._audit.record(connection, actor, "backup.delete", f"backup/{name}", {"size": size})
        # Behind the commit: none goes without a row. One that then stays is dropped by the next who asks.
        try:
            path.unlink()
        except FileNotFoundError:
            pass
        except OSError as problem:
            raise Unavailable(f"{path}: {problem.strerror}") from None

    def _made(self, caddy: Mapping[str, bytes]) -> Backup:
        self._sweep()
        now = self._storage.clock.now()
        name = f"argos-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime(now))}-{secrets.token_hex(2)}.backup"
        snapshot, partial = self._directory / f".{name}.db", self._directory / f".{name}.partial"
        try:
            self._need_room(caddy)
            _snapshot(self._storage.path, snapshot)
            manifest = _manifest(snapshot, caddy)
            header, key = self._header(now)
            descriptor = os.open(partial, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            with os.fdopen(descriptor, "w+b") as target:
                archive.write(target, header, key, manifest, _contents(snapshot, caddy))
                target.flush()
                os.fsync(descriptor)
                target.seek(0)
                # Not what was meant to be written counts, but what stands on the disk.
                os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
                read_back, first = archive.read_header(target)
                archive.Reader(target, read_back, first, key).read_through()
                target.seek(0)
                digest = hashlib.file_digest(target, "sha256").hexdigest()
                size = target.tell()
            partial.rename(self._directory / name)
            durable_files.sync_directory(self._directory)
        finally:
            partial.unlink(missing_ok=True)
            snapshot.unlink(missing_ok=True)
        return Backup(name, now, size, digest)

    def _header(self, now: int) -> tuple[archive.Header, bytes]:
        number, master_key_id, wrapped = self._vault.wrapped("backup")
        _unused, key = self._vault.key("backup", number)
        with self._storage.read() as connection:
            schema = schema_version(connection) or ""
        header = archive.new_header(
            created_at=now,
            schema=schema,
            version=__version__,
            master_key_id=master_key_id,
            key_version=number,
            wrapped_key=wrapped,
        )
        return header, key

    def _need_room(self, caddy: Mapping[str, bytes]) -> None:
        # The copy, and the archive, which may not compress.
        wanted = 2 * self._storage.path.stat().st_size + sum(map(len, caddy.values())) + RESERVE
        free = shutil.disk_usage(self._directory).free
        if free < wanted:
            raise Unavailable(
                f"{self._directory}: a backup needs {wanted // 2**20} MiB free, and there are {free // 2**20}"
            )

    def note_failure(self, actor: Actor, failure: ArgosError, request: str = "") -> None:
        """Put a try that failed on record, and let it be told; where that fails too, it is logged.

        Args:
            actor: who asked.
            failure: why it failed.
            request: the id of the request that this answers.
        """
        try:
            with self._storage.write() as connection:
                self._audit.record(connection, actor, "backup.failed", "backup", None, {"reason": str(failure)[:1024]})
                row = {"at": self._storage.clock.now(), "state": "failed", "reason": str(failure)[:1024]}
                connection.execute(insert(backup_runs).values(**row, request=request))
                self._outbox.backup_failed(connection, str(failure))
        except (Unavailable, OSError) as problem:
            # Often the same full disk: the caller is told why the backup failed, not why that is not on record.
            logger.warning("a failed backup is not on record: %s", problem)

    def _expire(self, actor: Actor, newest: Backup) -> None:
        oldest = self._storage.clock.now() - self._keep_days * DAY_S
        for backup in self.listing():
            if backup.created_at < oldest and backup.name != newest.name:
                self.drop(actor, backup.name)
        with self._storage.write() as connection:
            kept = select(backup_runs.c.id).order_by(backup_runs.c.id.desc()).limit(MOST_RUNS)
            connection.execute(delete(backup_runs).where(backup_runs.c.id.not_in(kept)))

    def _sweep(self) -> None:
        """Remove what a killed run left behind; the lock is held, so nobody is at it."""
        for pattern in (".argos-*.partial", ".argos-*.db*"):
            for path in self._directory.glob(pattern):
                path.unlink()

    @contextmanager
    def _alone(self) -> Iterator[None]:
        try:
            descriptor = os.open(
                self._directory / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600
            )
        except OSError as problem:
            raise Unavailable(f"{self._directory}: {problem.strerror}") from None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield
        except BlockingIOError:
            raise Conflict("Another backup is being made; try again when it is done") from None
        finally:
            os.close(descriptor)


def _snapshot(database: Path, target: Path) -> None:
    """A consistent copy beside all that serves, checked by SQLite."""
    source = sqlite3.connect(f"file:{quote(str(database))}?mode=ro", uri=True, timeout=30)
    try:
        os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600))
        source.execute("VACUUM INTO ?", (str(target),))
    finally:
        source.close()
    check_database(target)


def check_database(path: Path) -> None:
    """Let SQLite read every page.

    Raises:
        BadArchive: it found something broken.
    """
    copy = sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True)
    try:
        found = copy.execute("PRAGMA integrity_check(1)").fetchone()[0]
    except sqlite3.DatabaseError as problem:
        found = str(problem)
    finally:
        copy.close()
    if found != "ok":
        raise archive.BadArchive(f"the copy of the database is broken: {str(found)[:200]}")


def _manifest(snapshot: Path, caddy: Mapping[str, bytes]) -> archive.Manifest:
    with snapshot.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
        entries = [archive.Entry(archive.DATABASE, stream.tell(), digest)]
    for name, content in caddy.items():
        entries.append(archive.Entry(archive.CADDY + name, len(content), hashlib.sha256(content).hexdigest()))
    manifest = archive.Manifest(tuple(entries))
    archive.check_manifest(manifest)  # what could not be restored is not taken for a backup
    return manifest


def _contents(snapshot: Path, caddy: Mapping[str, bytes]) -> Iterator[bytes]:
    with snapshot.open("rb") as stream:
        while piece := stream.read(_PIECE):
            yield piece
    yield from caddy.values()


def _time_of(name: str) -> int:
    import calendar

    return calendar.timegm(time.strptime(name[6:22], "%Y%m%dT%H%M%SZ"))
