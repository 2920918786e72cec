"""Tokens: 32 random bytes, base64url in a cookie; only their SHA-256 is stored."""

from __future__ import annotations

import base64
import hashlib
import re
import secrets

_FORM = re.compile(r"[A-Za-z0-9_-]{43}\Z", re.ASCII)


def new_token() -> str:
    """Return a new token: 43 characters of base64url without padding."""
    return base64.urlsafe_b64encode(secrets.token_bytes(32)).decode().rstrip("=")


def token_hash(token: str) -> bytes | None:
    """Return the SHA-256 of the token's 43 characters, or None for a text that is no token."""
    if not _FORM.match(token):
        return None
    return hashlib.sha256(token.encode("ascii")).digest()


def credential_mark(password_hash: str | None) -> bytes:
    """Return what changes whenever an account's password does; empty for an account without one."""
    return b"" if password_hash is None else hashlib.sha256(password_hash.encode()).digest()
