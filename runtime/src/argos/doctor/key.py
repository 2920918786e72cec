"""Whether the master key opens the database."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING

from argos.doctor.database import read_only
from argos.doctor.finding import Finding

if TYPE_CHECKING:
    from argos.settings import Settings


def check_key(settings: Settings) -> Finding:
    """The data keys are wrapped by the master key that was given; looked at without changing anything."""
    from argos.vault import key_id

    name, wanted = "master key", wanted_ids(settings.database)
    if settings.master_key is None:
        ids = f": the database needs the master key with id {', '.join(sorted(wanted))}" if wanted else ""
        return Finding(
            name,
            "failed",
            f"ARGOS_MASTER_KEY is not set{ids}.",
            "Put it back into /etc/argos/argos.env from your copy.",
        )
    given = [key_id(key) for key in (settings.master_key, settings.master_key_next) if key is not None]
    if wanted is None:
        return Finding(name, "unknown", "The database cannot be read.", "Fix the database first.")
    missing = sorted(wanted - set(given))
    if missing:
        return Finding(
            name,
            "failed",
            f"The database needs the master key with id {', '.join(missing)}; "
            f"the one in use has id {' and '.join(given)}.",
            "Put the right key into /etc/argos/argos.env (the controller keeps one under .argos/<guest>/), "
            "then: systemctl restart argos-credentials argos.",
        )
    if len(given) > 1:
        return Finding(
            name,
            "warning",
            f"A rotation is under way: the data uses {', '.join(sorted(wanted))}, and both keys are configured.",
            "Run playbooks/rotate_key.yml again until it completes.",
        )
    return Finding(name, "ok", f"It opens the database (id {given[0]}).")


def wanted_ids(database: Path) -> set[str] | None:
    """The ids of the master keys that wrap the data keys; None when the database cannot be read."""
    try:
        with read_only(database) as connection:
            return {str(row[0]) for row in connection.execute("SELECT DISTINCT master_key_id FROM data_keys")}
    except sqlite3.Error:
        return None
