"""Which revision is in force, and whether something keeps taking Caddy away from it."""

from __future__ import annotations

import json
import sqlite3
import time
from pathlib import Path

from argos.clock import to_the_minute
from argos.doctor.database import read_only
from argos.doctor.finding import Finding
from argos.edge.revisions import MENDED

_A_DAY = 86400
_OFTEN = 3


def mended_at(path: Path) -> list[int]:
    """When Caddy was brought back to the active revision, the newest last; empty when the database cannot be read."""
    try:
        with read_only(path) as connection:
            row = connection.execute("SELECT value FROM meta WHERE key = ?", (MENDED,)).fetchone()
        found = json.loads(row[0]) if row else []
    except (sqlite3.Error, ValueError):
        return []
    return [int(at) for at in found if isinstance(at, int)]


def check_configuration(path: Path) -> Finding:
    """The active revision, who made it and when, and how often Caddy ran something else in the last day."""
    name = "configuration"
    query = "SELECT id, actor, activated_at FROM revisions WHERE state = 'active'"
    try:
        with read_only(path) as connection:
            active = connection.execute(query).fetchone()
    except sqlite3.Error as error:
        return Finding(name, "unknown", f"{path} cannot be read: {error}.", "Fix the database first.")
    if active is None:
        return Finding(name, "ok", "Nothing has been applied yet.")
    at = to_the_minute(active[2] or 0)
    message = f"Revision {active[0]} of {at}, by {active[1]}, is in force."
    mended = [when for when in mended_at(path) if when > time.time() - _A_DAY]
    if not mended:
        return Finding(name, "ok", message)
    last = time.strftime("%H:%M:%S UTC", time.gmtime(mended[-1]))
    message += f" Caddy ran something else {_times(len(mended))} in the last day, which was corrected, last at {last}."
    if len(mended) < _OFTEN:
        return Finding(name, "ok", message)
    return Finding(
        name,
        "warning",
        message,
        "Something else writes to Caddy's admin socket, or Caddy starts with a different file. "
        "See: journalctl -u argos-caddy.",
    )


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"
