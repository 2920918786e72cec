"""How long a session lives, as the active revision says."""

from __future__ import annotations

import json
from dataclasses import dataclass

from sqlalchemy import Connection, select

from argos.storage.tables import gate_settings, resources

ABSOLUTE_HOURS = 168
IDLE_HOURS = 24


@dataclass(frozen=True)
class Lifetimes:
    """Both in seconds; ``idle`` counts from the last sight."""

    absolute: int = ABSOLUTE_HOURS * 3600
    idle: int = IDLE_HOURS * 3600


def read_lifetimes(connection: Connection) -> Lifetimes:
    """Read them from ``settings/session`` and, as the gate does, idle from ``gate_settings``."""
    idle = connection.scalar(select(gate_settings.c.idle_seconds).where(gate_settings.c.id == 1))
    spec = connection.scalar(
        select(resources.c.spec).where(resources.c.kind == "settings", resources.c.name == "session")
    )
    declared = json.loads(spec) if spec else {}
    hours = declared.get("absolute_hours", ABSOLUTE_HOURS)
    idle_hours = declared.get("idle_hours", IDLE_HOURS)
    return Lifetimes(absolute=int(hours * 3600), idle=int(idle_hours * 3600) if idle is None else idle)
