"""Reading and writing the panel's cookies.

A sibling host can plant cookies in the parent domain (AUT-3): the same name may
come several times, so every reader here takes all values, at most four.
"""

from __future__ import annotations

from dataclasses import dataclass

import falcon

from argos.gate.cookies import session_tokens
from argos.sessions.model import IssuedSession

HEADER_LIMIT = 16 * 1024  # bytes of Cookie, all cookies of the parent domain together


@dataclass(frozen=True)
class CookieNames:
    """The names in one mode; ``secure`` tells whether they carry ``Secure``."""

    panel: str
    edge: str
    device: str
    onward: str
    secure: bool


BEHIND_CADDY = CookieNames(
    panel="__Host-argos_panel",
    edge="__Secure-argos_session",
    device="__Host-argos_device",
    onward="__Host-argos_onward",
    secure=True,
)
LAN = CookieNames(panel="argos_panel", edge="argos_session", device="argos_device", onward="argos_onward", secure=False)


def check_size(req: falcon.Request) -> None:
    """Refuse a ``Cookie`` header over the limit, before anything reads it.

    Raises:
        falcon.HTTPError: 431 (RFC 6585 §5).
    """
    if len(req.get_header("Cookie") or "") > HEADER_LIMIT:
        raise falcon.HTTPRequestHeaderFieldsTooLarge(
            title="Too many cookies",
            description="The browser sent more than 16 KiB of cookies. Delete this site's cookies and try again.",
        )


def tokens(req: falcon.Request, name: str) -> list[str]:
    """The distinct values for ``name`` that have a token's form, at most four, read as the gate reads them."""
    raw = (req.get_header("Cookie") or "").encode("latin-1", "replace")
    return [token.decode("ascii") for token in session_tokens(raw, name.encode("ascii"))]


def first(req: falcon.Request, name: str) -> str:
    """The first value sent for ``name``; empty when there is none. For cookies that carry no right."""
    for pair in (req.get_header("Cookie") or "").split(";"):
        key, _unused, value = pair.strip().partition("=")
        if key == name:
            return value
    return ""


def write(
    resp: falcon.Response,
    name: str,
    value: str,
    *,
    names: CookieNames,
    same_site: str,
    domain: str | None = None,
    max_age: int | None = None,
) -> None:
    """Set one cookie: always HttpOnly, path ``/``, and ``Secure`` where the mode has TLS.

    ``max_age`` in seconds; without it the cookie ends with the browser, and the
    session's own expiry rules.
    """
    parts = [f"{name}={value}", "Path=/", "HttpOnly", f"SameSite={same_site}"]
    if names.secure:
        parts.append("Secure")
    if domain:
        parts.append(f"Domain={domain}")
    if max_age is not None:
        parts.append(f"Max-Age={max_age}")
    resp.append_header("Set-Cookie", "; ".join(parts))


def write_session(resp: falcon.Response, names: CookieNames, issued: IssuedSession, edge_domain: str | None) -> None:
    """Set both cookies of one sign-in, for as long as it may live.

    ``edge_domain`` is the parent domain; None: this host only.
    """
    max_age = max(1, issued.session.expires_at - issued.session.created_at)
    write(resp, names.panel, issued.panel_token, names=names, same_site="Strict", max_age=max_age)
    write(resp, names.edge, issued.edge_token, names=names, same_site="Lax", domain=edge_domain, max_age=max_age)


def delete_session(resp: falcon.Response, names: CookieNames, edge_domain: str | None) -> None:
    """Take both cookies away from the browser."""
    write(resp, names.panel, "", names=names, same_site="Strict", max_age=0)
    write(resp, names.edge, "", names=names, same_site="Lax", domain=edge_domain, max_age=0)
