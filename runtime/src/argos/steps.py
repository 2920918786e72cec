"""What trying a connection tells of each of its steps."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Step:
    """One step: what it is called, whether it was done, and what a person should know of it, free of secrets."""

    name: str
    done: bool
    message: str
