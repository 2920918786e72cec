"""A guest's database as an Argos of the oldest schema left it, with everything in it that it could hold."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from argos.edge import revisions
from argos.edge.context import context_of
from argos.edge.decode import decode_document
from argos.edge.plan import State, plan
from argos.storage.upgrade import MIGRATIONS, REVISIONS
from dying_guest import ACTOR
from guest_rig import Guest
from sqlalchemy import create_engine

Columns = dict[str, list[str]]
PASSWORD = "the password of alice"
HOSTS = 20


def fill(guest: Guest) -> None:
    """People who are signed in, secrets, hosts in force, and the record of all that."""
    with guest.services() as here:
        here.accounts.create(ACTOR, "alice", "admin", PASSWORD)
        here.secrets.set(ACTOR, "token", "kept over an upgrade")
        for number in range(HOSTS):
            here.accounts.create(ACTOR, f"person-{number}", "member", "a password of theirs")
            here.sessions.begin(ACTOR, here.accounts.get(f"person-{number}").id, "192.0.2.7", "Firefox")
        hosts = [
            {
                "name": f"h{number}.home.example",
                "upstreams": [{"url": "http://10.0.0.5:80"}],
                "auth": {"required": True},
            }
            for number in range(HOSTS)
        ]
        planned, now = plan(State(), decode_document({"hosts": hosts})), here.clock.now()
        with here.storage.write() as connection:
            revision = revisions.begin(connection, planned, str(ACTOR), now)
            revisions.activate(connection, revision, planned, context_of(guest.settings), now)
            for change in planned.changes:
                here.audit.record(connection, ACTOR, "config.apply", f"host/{change.name}", change.before, change.after)


def take_back(database: Path) -> Columns:
    """Make ``database`` one of the oldest schema, with all of its rows that had a place there; return its columns."""
    old = database.with_name("old.db")
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    engine = create_engine(f"sqlite:///{old}")
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, REVISIONS[0])
    engine.dispose()
    with sqlite3.connect(old) as raw:
        tables = raw.execute(
            "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%'"
        ).fetchall()
        columns = {
            name: [row[1] for row in raw.execute(f'PRAGMA table_info("{name}")')]
            for (name,) in tables
            if name != "alembic_version"
        }
        for table, rows in content(database, columns).items():
            marks = ", ".join("?" * len(columns[table]))
            raw.executemany(f'INSERT INTO "{table}" VALUES ({marks})', rows)
    raw.close()
    for companion in ("-wal", "-shm"):
        database.with_name(database.name + companion).unlink(missing_ok=True)
    old.replace(database)
    database.chmod(0o640)
    return columns


def content(database: Path, columns: Columns) -> dict[str, list[tuple[Any, ...]]]:
    """Every row of these tables, their columns in this order."""
    with sqlite3.connect(database) as raw:
        found = {}
        for table, names in columns.items():
            listed = ", ".join(f'"{name}"' for name in names)
            found[table] = raw.execute(f'SELECT {listed} FROM "{table}" ORDER BY rowid').fetchall()
    raw.close()
    return found


def schema_of(database: Path) -> str:
    """The revision that the file is of."""
    with sqlite3.connect(database) as raw:
        (revision,) = raw.execute("SELECT version_num FROM alembic_version").fetchone()
    raw.close()
    return str(revision)
