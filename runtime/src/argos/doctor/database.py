"""Database, its free space, and the clock that stamps its rows."""

from __future__ import annotations

import json
import os
import sqlite3
import time
from pathlib import Path
from typing import Any
from urllib.parse import quote

from argos.doctor.finding import Finding
from argos.half_restored import half_restored

_LEAST_FREE = 200 * 1024 * 1024
_SANE_YEARS = range(2025, 2100)


def check_database(path: Path) -> Finding:
    """The file is there, readable and whole (``PRAGMA quick_check``)."""
    name = "database"
    if half_restored(path.parent):
        return Finding(
            name,
            "failed",
            "A restore was interrupted, and the data is not served until it is complete.",
            "Complete it: argos restore --resume.",
        )
    if not path.exists():
        return Finding(name, "failed", f"{path} does not exist.", "Start the runtime once: systemctl start argos.")
    try:
        with read_only(path) as connection:
            verdict = str(connection.execute("PRAGMA quick_check(1)").fetchone()[0])
            connection.execute("SELECT count(*) FROM users").fetchone()
    except sqlite3.Error as error:
        return Finding(
            name,
            "failed",
            f"{path} cannot be read: {error}.",
            "Check its owner (argos) and mode, or restore a backup.",
        )
    if verdict != "ok":
        return Finding(name, "failed", f"{path} is damaged: {verdict}.", "Stop the runtime and restore a backup.")
    return Finding(name, "ok", f"{path} is intact.")


def check_disk(paths: list[Path], backups: Path | None = None) -> Finding:
    """At least 200 MiB are free where we write; the database, Caddy's log and renewed certificates fail without.

    With no room for ``backups`` alone the edge goes on, and none can be made.
    """
    name, advice = "disk", "Free at least 200 MiB there."
    try:
        short = [said for path in paths if (said := _short_of_room(path))]
        no_backup = _short_of_room(backups) if backups is not None else ""
    except OSError as error:
        message = f"Free space at {error.filename} cannot be checked: {error.strerror}."
        return Finding(name, "unknown", message, "Run as root: sudo argos doctor.")
    if short:
        where = ", ".join([*short, no_backup] if no_backup else short)
        return Finding(name, "failed", f"Almost no space left at {where}.", advice)
    if no_backup:
        return Finding(name, "warning", f"Almost no space left for backups at {no_backup}.", advice)
    return Finding(name, "ok", "Enough free space.")


def _short_of_room(path: Path) -> str:
    """The path and what is free there, where that is too little; empty where it is enough or nothing is there yet."""
    try:
        status = os.statvfs(path)
    except FileNotFoundError:
        return ""
    free = status.f_bavail * status.f_frsize
    short = free < _LEAST_FREE or (status.f_files and status.f_favail < 1000)
    return f"{path} ({free // 1024**2} MiB free)" if short else ""


def check_clock(path: Path) -> Finding:
    """The year is believable, and no row of the audit lies in the future."""
    name = "clock"
    now = time.time()
    year = time.gmtime(now).tm_year
    if year not in _SANE_YEARS:
        return Finding(name, "failed", f"The clock says the year {year}.", "Set the time: timedatectl set-ntp true.")
    try:
        with read_only(path) as connection:
            newest = connection.execute("SELECT max(at) FROM audit").fetchone()[0]
    except sqlite3.Error:
        newest = None
    if newest is not None and newest > now + 120:
        return Finding(
            name,
            "warning",
            f"The newest audit row is {int(newest - now)} seconds ahead of the clock: the clock was set back.",
            "Sessions may last longer than intended. Set the time: timedatectl set-ntp true.",
        )
    return Finding(name, "ok", time.strftime("It is %Y-%m-%d %H:%M UTC.", time.gmtime(now)))


def declared_settings(path: Path, name: str) -> dict[str, Any]:
    """The spec of ``settings/{name}``; empty while it is not declared, or the database cannot be read."""
    query = "SELECT spec FROM resources WHERE kind = 'settings' AND name = ?"
    try:
        with read_only(path) as connection:
            row = connection.execute(query, (name,)).fetchone()
        spec = json.loads(row[0]) if row else {}
    except (sqlite3.Error, ValueError):
        return {}
    return spec if isinstance(spec, dict) else {}


class read_only:  # noqa: N801  # used as a verb
    """A read-only connection that is closed at the end of its block."""

    def __init__(self, path: Path) -> None:
        self._connection = sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True, timeout=5)

    def __enter__(self) -> sqlite3.Connection:
        return self._connection

    def __exit__(self, *_unused: object) -> None:
        self._connection.close()
