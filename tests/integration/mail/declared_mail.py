"""What the tests declare of mail."""

from __future__ import annotations

from typing import Any

from authority import Authority
from smtp_server import NAME


def mail(port: int, authority: Authority, **fields: Any) -> dict[str, Any]:
    """A declaration of ``settings/mail`` for a server on loopback."""
    declared = {
        "host": NAME,
        "port": port,
        "username": "argos",
        "password": {"secret": "smtp-password"},
        "sender": "argos@home.example",
        "recipients": ["me@home.example"],
        "trusted_ca": authority.pem,
        "timeout": 20,
        **fields,
    }
    return {name: value for name, value in declared.items() if value is not None}
