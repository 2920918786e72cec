"""What a session is."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

Assurance = Literal["full", "second_factor", "password_change"]


@dataclass(frozen=True)
class Session:
    """One sign-in, with what is known of its person. Times in seconds since the epoch.

    ``assurance`` is ``full``; ``second_factor`` for one who must first prove a code;
    ``password_change`` for one who must first set a password. Only ``full`` passes
    anywhere. ``proved_at`` is when the person last gave a password or a code.
    """

    id: int
    user_id: int
    username: str
    name: str
    email: str
    role: str
    provider: str
    assurance: Assurance
    created_at: int
    last_seen_at: int
    expires_at: int
    address: str
    user_agent: str
    second_factor: bool = False
    proved_at: int = 0


@dataclass(frozen=True)
class IssuedSession:
    """A new session with its two tokens, which exist only here and in the browser."""

    session: Session
    panel_token: str = field(repr=False)
    edge_token: str = field(repr=False)
