"""Whether there is a fresh backup (DAT-6)."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path

from argos.doctor.database import read_only
from argos.doctor.finding import Finding

LATE_S = 3 * 86_400
"""A backup that is older than three nights."""


def check_backups(database: Path) -> Finding:
    """The last try ended well, and not long ago."""
    name = "backups"
    try:
        with read_only(database) as connection:
            last = connection.execute("SELECT state, reason FROM backup_runs ORDER BY id DESC LIMIT 1").fetchone()
            good = connection.execute("SELECT max(at) FROM backup_runs WHERE state = 'ok'").fetchone()[0]
    except sqlite3.Error as error:
        return Finding(name, "unknown", f"The state of backups cannot be read: {error}.", "Fix the database first.")
    if last is None:
        return Finding(name, "ok", "No backup was due yet. The first one is made tonight.")
    if last[0] == "failed":
        return Finding(
            name, "warning", f"The last backup failed: {last[1]}", "Fix that, then run: sudo argos backup create."
        )
    age = int(time.time()) - int(good)
    if age > LATE_S:
        return Finding(
            name,
            "warning",
            f"The newest backup is {age // 86_400} days old.",
            "See: systemctl list-timers argos-backup.timer; journalctl -u argos-backup.",
        )
    return Finding(name, "ok", f"The newest backup is {age // 3600} hours old.")
