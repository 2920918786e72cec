"""Whether mail goes out."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from argos.clock import to_the_minute
from argos.doctor.database import declared_settings, read_only
from argos.doctor.finding import Finding


def check_mail(database: Path) -> Finding:
    """The last mail went out. Where none is declared, nobody is told of anything, which is no fault."""
    name = "mail"
    try:
        with read_only(database) as connection:
            last = connection.execute("SELECT at, state, reason FROM mails ORDER BY id DESC LIMIT 1").fetchone()
            waiting = connection.execute("SELECT coalesce(sum(1 + more), 0) FROM notices").fetchone()[0]
    except sqlite3.Error as error:
        return Finding(name, "unknown", f"The state of e-mail cannot be read: {error}.", "Fix the database first.")
    declared = declared_settings(database, "mail")
    if not declared.get("enabled"):
        said = "E-mail is off" if declared else "No mail server is declared"
        return Finding(name, "ok", f"{said}: nobody is notified when a backup fails.")
    if last is None:
        return Finding(name, "ok", "No e-mail sent yet. To send one: sudo argos mail test.")
    if last[1] == "failed":
        message = f"The last e-mail, {to_the_minute(last[0])}, was not sent: {last[2]}. Waiting notices: {waiting}."
        return Finding(name, "warning", message, "Fix that, then run: sudo argos mail test.")
    return Finding(name, "ok", f"The last e-mail was sent {to_the_minute(last[0])}.")
