"""The singletons: what holds for the edge as a whole."""

from __future__ import annotations

from typing import Literal

import msgspec

from argos.edge.model.tls import Tls
from argos.edge.model.values import SecretName


class EdgeSettings(msgspec.Struct, frozen=True):
    """The singleton ``settings/edge``."""

    panel_host: str
    parent_domain: str
    tls: Tls = Tls()
    trusted_proxies: tuple[str, ...] = ()
    auth_proxies: tuple[str, ...] = ()


class SessionSettings(msgspec.Struct, frozen=True):
    """The singleton ``settings/session``; both in hours."""

    absolute_hours: int = 168
    idle_hours: int = 24


class Exempt(msgspec.Struct, frozen=True):
    """An address or a range that no decision stops at this edge, and why."""

    value: str
    reason: str = ""


class CrowdsecSettings(msgspec.Struct, frozen=True):
    """The singleton ``settings/crowdsec``."""

    enabled: bool = True
    lapi_url: str = ""
    whitelist: tuple[Exempt, ...] = ()


class OidcSettings(msgspec.Struct, frozen=True):
    """The singleton ``settings/oidc``: one OpenID Connect provider, and whom it may send (OIDC-1 to OIDC-6)."""

    enabled: bool = True
    name: str = "single sign-on"
    issuer: str = ""
    client_id: str = ""
    client_secret: SecretName | None = None
    scopes: tuple[str, ...] = ("openid", "profile", "email")
    token_auth: Literal["client_secret_basic", "client_secret_post"] = "client_secret_basic"  # noqa: S105 - a method
    require_email_verified: bool = True
    allowed_emails: tuple[str, ...] = ()
    allowed_domains: tuple[str, ...] = ()
    allowed_groups: tuple[str, ...] = ()
    allow_anyone: bool = False
    auto_provision: bool = False
    groups_claim: str = "groups"
    group_map: dict[str, tuple[str, ...]] = {}
    admin_claim: str = ""
    admin_values: tuple[str, ...] = ()


MailEvent = Literal["backup_failed", "login_ban"]
"""What a mail tells of."""


class MailSettings(msgspec.Struct, frozen=True):
    """The singleton ``settings/mail``: the SMTP server that takes notices, and who reads them (DEP-2).

    ``timeout`` is in seconds, for one message from the connection's opening to its end.
    ``trusted_ca`` is PEM; where it is given, nobody else vouches for the server.
    """

    enabled: bool = True
    host: str = ""
    port: int = 587
    security: Literal["starttls", "tls", "none"] = "starttls"
    username: str = ""
    password: SecretName | None = None
    sender: str = ""
    recipients: tuple[str, ...] = ()
    trusted_ca: str = ""
    timeout: int = 20
    events: tuple[MailEvent, ...] = ("backup_failed", "login_ban")


class Settings(msgspec.Struct, frozen=True):
    """The singletons a document names; None leaves what is stored alone."""

    edge: EdgeSettings | None = None
    session: SessionSettings | None = None
    crowdsec: CrowdsecSettings | None = None
    oidc: OidcSettings | None = None
    mail: MailSettings | None = None


SETTINGS: dict[str, type[msgspec.Struct]] = {
    "edge": EdgeSettings,
    "session": SessionSettings,
    "crowdsec": CrowdsecSettings,
    "oidc": OidcSettings,
    "mail": MailSettings,
}
"""Name of each singleton and its struct."""
