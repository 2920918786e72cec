"""The database: SQLite in WAL mode, through SQLAlchemy Core.

Several processes share the file: the runtime and CLI commands write, the gate
reads. ``synchronous=FULL`` makes a commit outlive a power cut, so that a
revocation that was answered stays one.
"""

from __future__ import annotations

import os
import sqlite3
import stat
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.exc import DatabaseError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.pool import QueuePool

from argos.clock import Clock
from argos.errors import Unavailable
from argos.storage.turn import in_turn

BUSY_TIMEOUT_S = 10
FILE_MODE = 0o640  # the group, argos-gate, reads
READERS = 8
TURN = ".turn"
_FORGET_AFTER_S = (0, 0.2, 0.5, 1, 2)


class Storage:
    """The one database file of this guest.

    Args:
        path: the file; made with mode 0640 by :meth:`migrate` if it is not there.
        clock: the time that services built on this storage go by.
    """

    def __init__(self, path: Path, clock: Clock) -> None:
        self.path = path
        self.clock = clock
        self._turn = path.with_name(f"{path.name}{TURN}")
        self._writing = threading.Lock()
        self._writer_thread: int | None = None
        self._writer = _engine(path, read_only=False)
        self._reader = _engine(path, read_only=True)

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Give a connection that sees one unchanging snapshot; writing on it fails.

        Raises:
            Unavailable: the database cannot be opened or stays locked.
        """
        with _said_plainly(self.path), self._reader.connect() as connection:
            connection.exec_driver_sql("BEGIN")
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """Give the connection of a transaction that commits at the end, or rolls back on an exception.

        ``BEGIN IMMEDIATE``: a deferred transaction that reads and then writes fails
        under load whatever the timeout. Writers of this process queue on a lock, those
        of other processes on a file beside the database, and the first of them on SQLite's.

        Raises:
            Unavailable: the database cannot be opened or stays locked for 10 s.
        """
        if self._writer_thread == threading.get_ident():
            raise RuntimeError("write() inside write(): pass the connection on instead")
        if not self._writing.acquire(timeout=BUSY_TIMEOUT_S):
            raise Unavailable("The database is busy with another change")
        self._writer_thread = threading.get_ident()
        try:
            with _said_plainly(self.path), self._writer.connect() as connection:
                with in_turn(self._turn, BUSY_TIMEOUT_S):
                    connection.exec_driver_sql("BEGIN IMMEDIATE")
                yield connection
                connection.commit()
        finally:
            self._writer_thread = None
            self._writing.release()

    def forget_overwritten(self) -> None:
        """Empty the write-ahead log, where what was overwritten still stands.

        A reader of an old snapshot can hold it up: then it goes with the next checkpoint. SQLite keeps
        all writers out while it waits for readers, so it waits for moments only, a few times.

        Raises:
            Unavailable: the database cannot be opened.
        """
        for wait in _FORGET_AFTER_S:
            time.sleep(wait)
            with self.outside() as connection, in_turn(self._turn, BUSY_TIMEOUT_S):
                connection.exec_driver_sql("PRAGMA busy_timeout = 300")
                try:
                    busy = connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)").one()[0]
                finally:
                    connection.exec_driver_sql("PRAGMA busy_timeout = 10000")  # BUSY_TIMEOUT_S
            if not busy:
                return

    @contextmanager
    def outside(self) -> Iterator[Connection]:
        """Give the writing connection outside any transaction, for what SQLite allows nowhere else (``VACUUM INTO``).

        Raises:
            Unavailable: the database cannot be opened.
        """
        with self._writing, _said_plainly(self.path), self._writer.connect() as connection:
            yield connection

    def migrate(self) -> None:
        """Make the file if need be, and bring its schema to this version's.

        Raises:
            SchemaTooNew: a newer version of Argos wrote it.
        """
        from argos.storage.upgrade import upgrade

        self._create_file()
        with _said_plainly(self.path):
            upgrade(self.path)

    def damage(self) -> str | None:
        """What SQLite finds wrong with the file's structure; None for a sound one. Reads all of it.

        Raises:
            Unavailable: it cannot be opened, or is no database at all.
        """
        with self.read() as connection:
            verdict = str(connection.exec_driver_sql("PRAGMA quick_check(1)").scalar_one())
        return None if verdict == "ok" else verdict

    def close(self) -> None:
        """Close every connection."""
        self._reader.dispose()
        self._writer.dispose()

    def _create_file(self) -> None:
        """Make the file with its mode; SQLite gives -wal and -shm the same, whatever the umask.

        A file that is there is not opened: closing it would take away this process's own locks on
        it (fcntl(2)), and the next process to leave would delete a log that is written still.
        """
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
        try:
            try:
                fd = os.open(self.path, flags, FILE_MODE)
            except FileExistsError:
                self._mend_mode()
                return
            try:
                os.fchmod(fd, FILE_MODE)
            finally:
                os.close(fd)
        except OSError as error:
            raise Unavailable(f"Database {self.path}: cannot be opened: {error.strerror}") from error

    def _mend_mode(self) -> None:
        status = self.path.lstat()
        if not stat.S_ISREG(status.st_mode):
            raise Unavailable(f"Database {self.path}: cannot be opened: it is no plain file")
        if status.st_uid == os.geteuid() and stat.S_IMODE(status.st_mode) != FILE_MODE:
            self.path.chmod(FILE_MODE)


def _engine(path: Path, *, read_only: bool) -> Engine:
    def connect() -> sqlite3.Connection:
        # mode=rw: only migrate() makes the file, with its mode; a wrong path is an error, not an empty database.
        location = f"file:{quote(str(path))}?mode=rw"
        return sqlite3.connect(location, uri=True, timeout=BUSY_TIMEOUT_S, check_same_thread=False)

    engine = create_engine(
        "sqlite://",
        creator=connect,
        poolclass=QueuePool,
        pool_size=READERS if read_only else 1,
        max_overflow=READERS if read_only else 0,
        pool_timeout=BUSY_TIMEOUT_S,
        hide_parameters=True,  # an error's text would show them, hashes and names among them
    )

    def prepare(raw: sqlite3.Connection, _record: Any) -> None:
        # The driver's own implicit BEGIN is off: transactions here are begun by read() and write().
        raw.isolation_level = None
        raw.execute("PRAGMA journal_mode=WAL")
        raw.execute("PRAGMA synchronous=FULL")
        raw.execute("PRAGMA foreign_keys=ON")
        raw.execute("PRAGMA trusted_schema=OFF")
        if read_only:
            raw.execute("PRAGMA query_only=ON")

    event.listen(engine, "connect", prepare)
    return engine


@contextmanager
def _said_plainly(path: Path) -> Iterator[None]:
    try:
        yield
    except PoolTimeout as error:
        raise Unavailable(f"Database {path}: too many requests read it at once") from error
    except OperationalError as error:
        raise Unavailable(f"Database {path}: {error.orig}") from error
    except DatabaseError as error:
        if getattr(error.orig, "sqlite_errorcode", None) in {sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT}:
            raise Unavailable(f"Database {path}: {error.orig}") from error
        raise


def schema_version(connection: Connection) -> str | None:
    """Return the schema's revision, None for a database without one."""
    known = connection.execute(text("SELECT 1 FROM sqlite_master WHERE type='table' AND name='alembic_version'"))
    if known.first() is None:
        return None
    row = connection.execute(text("SELECT version_num FROM alembic_version")).first()
    return None if row is None else str(row[0])
