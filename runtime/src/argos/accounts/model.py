"""What an account is."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

Role = Literal["admin", "member"]


@dataclass(frozen=True)
class User:
    """One person's account, without its password. Times in seconds since the epoch."""

    id: int
    username: str
    name: str
    email: str
    role: Role
    provider: str
    must_change_password: bool
    disabled: bool
    has_password: bool
    created_at: int
    updated_at: int
    groups: tuple[str, ...] = ()
    email_verified: bool = False
    credential: bytes = field(default=b"", repr=False)
    """Changes with the password: a session begun for this account is worth nothing once it has (LOG-5)."""
