"""Bringing a database's schema to this version's."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, create_engine, event
from sqlalchemy.pool import NullPool

from argos.errors import ArgosError
from argos.storage.engine import BUSY_TIMEOUT_S, schema_version

MIGRATIONS = Path(__file__).parent / "migrations"
REVISIONS = ("0001", "0002", "0003", "0004", "0005")  # oldest first; a test compares it with the files


class SchemaTooNew(ArgosError):
    """The file was written by a newer version of Argos; going back is refused rather than guessed."""


def upgrade(path: Path) -> None:
    """Run the migrations that are missing, all in one transaction.

    Args:
        path: an SQLite file, which may be empty.

    Raises:
        SchemaTooNew: its schema is none that this version knows.
    """
    engine = create_engine(
        f"sqlite:///{path}",
        poolclass=NullPool,
        connect_args={"timeout": BUSY_TIMEOUT_S, "check_same_thread": False},
    )

    def prepare(raw: sqlite3.Connection, _record: Any) -> None:
        raw.isolation_level = None
        raw.execute("PRAGMA journal_mode=WAL")
        raw.execute("PRAGMA synchronous=FULL")
        # Batch mode rebuilds tables; with foreign keys on, dropping the old one would cascade.
        raw.execute("PRAGMA foreign_keys=OFF")

    event.listen(engine, "connect", prepare)
    try:
        with engine.connect() as connection:
            connection.exec_driver_sql("BEGIN IMMEDIATE")
            current = schema_version(connection)
            if current is not None and current not in REVISIONS:
                raise SchemaTooNew(
                    f"Database {path}: its schema is {current}, this version of Argos knows up to {REVISIONS[-1]}; "
                    "install the newer version again, or restore a backup that this version made"
                )
            if current != REVISIONS[-1]:
                _run(connection)
            connection.commit()
    finally:
        engine.dispose()


def _run(connection: Connection) -> None:
    # Alembic only when there is something to do: importing it costs memory that the runtime keeps for good.
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
    broken = connection.exec_driver_sql("PRAGMA foreign_key_check").first()
    if broken is not None:
        raise ArgosError(f"The upgrade would leave row {broken[1]} of {broken[0]} without its {broken[2]}; undone")
