"""Decoding of where certificates come from."""

from __future__ import annotations

import re

from argos.edge.fields import Fields
from argos.edge.model import Tls

# No braces: Caddy's ACME issuer replaces placeholders in it, and would send a CA what {file.…} holds.
_EMAIL = re.compile(r"[^@\s\x00-\x1f{}]{1,64}@[A-Za-z0-9.-]{1,253}")


def decode_tls(fields: Fields) -> Tls:
    """A host's ``tls``, or the default of ``settings/edge``."""
    tls = Tls(
        fields.choice("mode", ("internal", "auto", "off"), "internal"),
        fields.text("email", "", limit=320, expected="an e-mail address or nothing", check=_email_problem),
    )
    fields.finish()
    return tls


def _email_problem(text: str) -> str | None:
    return None if not text or _EMAIL.fullmatch(text) else f"is {text!r}"
