"""Decoding of ``settings/oidc``: the provider, and whom it may send."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from argos.edge.decode.values import secret
from argos.edge.fields import Fields
from argos.edge.model import OidcSettings, SecretName
from argos.edge.names import host_name_problem, is_loopback, parse_address
from argos.errors import FieldError


class OidcSwitch(OidcSettings, frozen=True):
    """``enabled`` said alone: the stored provider on or off; argos.oidc.break_glass fills in the rest."""


_SCOPE = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]{1,128}")  # RFC 6749 §3.3
_EMAIL = re.compile(r"[!-?A-~]{1,64}@[A-Za-z0-9.-]{1,253}")
_PRINTABLE = re.compile(r"[^\x00-\x1f\x7f-\x9f\ud800-\udfff]+")
_GROUP = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")
_LIST_LIMIT = 1000


def decode_oidc(raw: object, errors: list[FieldError]) -> OidcSettings:
    """Decode the singleton; what is wrong with it goes to ``errors``."""
    fields = Fields(raw, "settings/oidc", "", errors)
    if isinstance(raw, dict) and raw.keys() == {"enabled"}:
        return OidcSwitch(enabled=fields.boolean("enabled", True))
    defaults = OidcSettings()
    oidc = OidcSettings(
        enabled=fields.boolean("enabled", True),
        name=_text(fields, "name", defaults.name, 64),
        issuer=fields.text(
            "issuer",
            "",
            limit=512,
            expected="https://host/path of the provider, exactly as it writes it",
            check=_issuer,
        ),
        client_id=_text(fields, "client_id", "", 255),
        client_secret=_secret(fields),
        scopes=fields.texts("scopes", limit=20, each=128, expected="a scope such as 'email'", check=_scope)
        or defaults.scopes,
        token_auth=fields.choice("token_auth", ("client_secret_basic", "client_secret_post"), defaults.token_auth),
        require_email_verified=fields.boolean("require_email_verified", True),
        allowed_emails=fields.texts(
            "allowed_emails", limit=_LIST_LIMIT, each=320, expected="an e-mail address in ASCII", check=_email
        ),
        allowed_domains=fields.texts(
            "allowed_domains", limit=_LIST_LIMIT, each=253, expected="a domain such as home.example", check=_domain
        ),
        allowed_groups=fields.texts(
            "allowed_groups", limit=_LIST_LIMIT, each=255, expected="a group of the provider", check=_printable
        ),
        allow_anyone=fields.boolean("allow_anyone", False),
        auto_provision=fields.boolean("auto_provision", False),
        groups_claim=_text(fields, "groups_claim", defaults.groups_claim, 255),
        group_map=_group_map(fields),
        admin_claim=_text(fields, "admin_claim", "", 255),
        admin_values=fields.texts(
            "admin_values", limit=_LIST_LIMIT, each=255, expected="a value of admin_claim", check=_printable
        ),
    )
    fields.finish()
    _together(fields, oidc)
    return oidc


def _together(fields: Fields, oidc: OidcSettings) -> None:
    if "openid" not in oidc.scopes:
        fields.wrong("scopes", "lacks 'openid'", "'openid' among them (OpenID Connect Core §3.1.2.1)")
    if oidc.enabled:
        for name in ("issuer", "client_id", "client_secret"):
            if not getattr(oidc, name) and not any(error.field.startswith(name) for error in fields.errors):
                fields.wrong(name, "is missing", "a value while enabled is true")
    allowlists = oidc.allowed_emails or oidc.allowed_domains or oidc.allowed_groups
    if oidc.auto_provision and not (allowlists or oidc.allow_anyone):
        # Or the whole of a public provider passes (OIDC-4).
        fields.wrong(
            "auto_provision",
            "is true and everybody at the provider would get an account",
            "allowed_emails, allowed_domains or allowed_groups, or allow_anyone: true",
        )
    if allowlists and oidc.allow_anyone:
        fields.wrong("allow_anyone", "is true beside an allowlist", "one or the other")
    if bool(oidc.admin_claim) != bool(oidc.admin_values):
        fields.wrong("admin_claim", "and admin_values do not stand together", "both, or neither")


def _group_map(fields: Fields) -> dict[str, tuple[str, ...]]:
    mapped = {}
    for place, theirs, ours in fields.mapping("group_map", limit=_LIST_LIMIT):
        if _printable(theirs) or len(theirs) > 255:
            fields.wrong(place, "is no group's name", "a group of the provider, at most 255 characters")
        if isinstance(ours, str):
            ours = [ours]  # noqa: PLW2901 - one group may stand alone
        inner = Fields({"to": ours}, "settings/oidc", "", fields.errors)
        mapped[theirs] = inner.texts("to", limit=50, each=64, expected=f"groups of ours for {place}", check=_group)
    return mapped


def _secret(fields: Fields) -> SecretName | None:
    if not fields.given("client_secret"):
        return None
    return secret(fields.inner("client_secret"))


def _text(fields: Fields, name: str, default: str, limit: int) -> str:
    return fields.text(
        name, default, limit=limit, expected="text without control characters", check=lambda text: _printable(text, "")
    )


def _issuer(url: str) -> str | None:
    if not url:
        return None
    try:
        parts = urlsplit(url)
        host, _port = parts.hostname or "", parts.port
    except ValueError as reason:
        return f"is {url!r}: {reason}"
    if not re.fullmatch(r"[\x21-\x7e]+", url) or "@" in parts.netloc or not host:
        return "is not a plain URL"
    if "?" in url or "#" in url:
        return f"is {url!r}, which has a query or a fragment"
    loopback = is_loopback(host, parse_address(host))
    if not (url.startswith("https://") or (loopback and url.startswith("http://"))):
        return f"is {url!r}, which is not https://"
    return None


def _domain(name: str) -> str | None:
    return host_name_problem(name)


def _email(text: str) -> str | None:
    return None if _EMAIL.fullmatch(text) else f"is {text!r}, which is not an e-mail address in ASCII"


def _scope(text: str) -> str | None:
    return None if _SCOPE.fullmatch(text) else f"is {text!r}, which is not a scope"


def _printable(text: str, empty: str = "is empty") -> str | None:
    if not text:
        return empty or None
    return None if _PRINTABLE.fullmatch(text) else "holds a control character"


def _group(text: str) -> str | None:
    return None if _GROUP.fullmatch(text) else f"is {text!r}, which is no group's name"
