"""``argos prepare``: let the gate open the database while the runtime is stopped.

A read-only reader of a WAL database needs its ``-wal`` and ``-shm`` files, and the last
connection that closes removes them. So this one-shot, run as the user who owns the database
before each start of the gate, opens it, reads once and leaves without closing.
"""

from __future__ import annotations

import os
import sqlite3
import sys
from collections.abc import Mapping
from pathlib import Path

from argos.half_restored import INTERRUPTED, half_restored


def run(environ: Mapping[str, str]) -> int:
    """Open, read, and end the process by ``os._exit(0)``; return 1 when the database cannot be read.

    Without a database there is nothing to prepare: says so and returns 0. With half a restore too:
    the gate denies everyone until that is complete.
    """
    path = Path(environ.get("ARGOS_DATA_DIR") or "/var/lib/argos") / "argos.db"
    if half_restored(path.parent):
        print(INTERRUPTED)
        return 0
    if not path.exists():
        print(f"{path}: no database yet; the gate denies everyone until the runtime has made one")
        return 0
    try:
        connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True, timeout=10)
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except sqlite3.Error as error:
        print(f"{path}: cannot be read: {error}", file=sys.stderr)
        return 1
    sys.stdout.flush()
    os._exit(0)  # not a return: closing the connection would remove -wal and -shm
