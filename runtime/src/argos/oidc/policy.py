"""Whom the operator meant: a pure function from claims to a decision (OIDC-4)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from argos.edge.model import OidcSettings
from argos.oidc.errors import NotAllowed

# Plain ASCII only: a look-alike letter of another script must never equal a declared address.
_EMAIL = re.compile(r"[!-?A-~]{1,64}@[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?", re.ASCII)
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_GROUPS_MOST = 2000


@dataclass(frozen=True)
class Arrival:
    """A person of the provider, as far as the claims say. ``groups`` are ours, by ``group_map``; None: not mapped."""

    subject: str
    username_hint: str
    name: str
    email: str
    email_verified: bool
    groups: tuple[str, ...] | None
    is_admin: bool | None
    used_second_factor: bool


def judge(settings: OidcSettings, claims: Mapping[str, Any]) -> Arrival:
    """Tell who ``claims`` are of, when the operator lets them in.

    The identity is (issuer, sub) alone; an e-mail only lets in, and only when the
    provider has verified it. Addresses compare without regard to case; ``a+b@x`` is not
    ``a@x``, and a domain does not include its subdomains.

    Raises:
        NotAllowed: they are not let in; the reason is told.
    """
    email = _email(claims.get("email"))
    verified = bool(email) and claims.get("email_verified") is True
    if settings.require_email_verified and not verified:
        raise NotAllowed("The provider has not verified an e-mail address of this account.")
    theirs = _texts(claims.get(settings.groups_claim))
    if not _is_meant(settings, email if verified else "", theirs):
        raise NotAllowed("This account is not among those that may sign in here.")
    return Arrival(
        subject=str(claims["sub"]),
        username_hint=_plain(claims.get("preferred_username")) or email.partition("@")[0] or "person",
        name=_plain(claims.get("name")),
        email=email,
        email_verified=verified,
        groups=_mapped(settings, theirs) if settings.group_map else None,
        is_admin=_admin(settings, claims),
        # RFC 8176 §2; what the provider does not say so plainly is proved here once more.
        used_second_factor="mfa" in _texts(claims.get("amr")),
    )


def _is_meant(settings: OidcSettings, verified_email: str, groups: frozenset[str]) -> bool:
    if not (settings.allowed_emails or settings.allowed_domains or settings.allowed_groups):
        return True  # without auto_provision only those pass who are linked already
    address = verified_email.lower()
    if address and address in {allowed.lower() for allowed in settings.allowed_emails}:
        return True
    if address and address.rpartition("@")[2] in {domain.lower() for domain in settings.allowed_domains}:
        return True
    return not groups.isdisjoint(settings.allowed_groups)


def _email(value: object) -> str:
    """The address when it is one text of plain ASCII; a list, an object or anything odd is none."""
    return value if isinstance(value, str) and _EMAIL.fullmatch(value) and len(value) <= 254 else ""


def _texts(value: object) -> frozenset[str]:
    if isinstance(value, str):
        return frozenset({value})
    if isinstance(value, list):
        return frozenset(member for member in value[:_GROUPS_MOST] if isinstance(member, str))
    return frozenset()


def _mapped(settings: OidcSettings, theirs: frozenset[str]) -> tuple[str, ...]:
    return tuple(sorted({ours for group, names in settings.group_map.items() if group in theirs for ours in names}))


def _admin(settings: OidcSettings, claims: Mapping[str, Any]) -> bool | None:
    if not settings.admin_claim:
        return None
    return not _texts(claims.get(settings.admin_claim)).isdisjoint(settings.admin_values)


def _plain(value: object) -> str:
    return _UNPRINTABLE.sub("", value).strip()[:200] if isinstance(value, str) else ""
