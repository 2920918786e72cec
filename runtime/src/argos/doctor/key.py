"""Whether the master key opens the database."""

from __future__ import annotations

import sqlite3

from argos.doctor.database import read_only
from argos.doctor.finding import Finding
from argos.settings import Settings
from argos.vault import key_id


def check_key(settings: Settings) -> Finding:
    """The data keys are wrapped by the master key that was given; looked at without changing anything."""
    name = "master key"
    if settings.master_key is None:
        return Finding(
            name,
            "failed",
            "ARGOS_MASTER_KEY is not set.",
            "Put it back into /etc/argos/argos.env, from where you keep it.",
        )
    given = key_id(settings.master_key)
    try:
        with read_only(settings.database) as connection:
            wanted = {str(row[0]) for row in connection.execute("SELECT DISTINCT master_key_id FROM data_keys")}
    except sqlite3.Error:
        return Finding(name, "unknown", "The database that it opens cannot be read.", "Mend the database first.")
    if wanted - {given}:
        return Finding(
            name,
            "failed",
            f"The database wants the master key with id {', '.join(sorted(wanted - {given}))}; "
            f"the one in use has id {given}.",
            "Put the right key into /etc/argos/argos.env (the controller keeps one under .argos/<guest>/), "
            "then: systemctl restart argos-credentials argos.",
        )
    return Finding(name, "ok", f"It opens the database (id {given}).")
