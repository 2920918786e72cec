"""What an operator declares, as typed values.

A document is decoded once, by :func:`argos.edge.decode.decode_document`, and
only these structs travel inward. Defaults are filled in, so that a stored spec
is complete and two specs are equal exactly when their canonical JSON is.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

TlsMode = Literal["internal", "auto", "off"]
WafMode = Literal["off", "detect", "block"]

MAX_HOSTS = 5000


class Tls(msgspec.Struct, frozen=True):
    """Where a host's certificate comes from: Caddy's own CA, ACME, or none."""

    mode: TlsMode = "internal"
    email: str = ""


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


class CrowdsecSettings(msgspec.Struct, frozen=True):
    """The singleton ``settings/crowdsec``."""

    enabled: bool = True
    lapi_url: str = "http://127.0.0.1:8080"


class SecretName(msgspec.Struct, frozen=True):
    """Stands where a value is a secret: the spec holds its name only."""

    secret: str


HeaderValue = str | SecretName


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


class Upstream(msgspec.Struct, frozen=True):
    """One server behind a host; ``url`` is scheme, host and port, nothing more."""

    url: str
    weight: int = 1


class AuthPath(msgspec.Struct, frozen=True):
    """A path of a protected host with an access of its own; ``/a/*`` is all below ``/a/``."""

    path: str
    access: Literal["public"] = "public"


class Auth(msgspec.Struct, frozen=True):
    """Whether a host asks for a sign-in, and who may then enter: on one of the lists, or, all empty, anyone."""

    required: bool = False
    users: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    emails: tuple[str, ...] = ()
    domains: tuple[str, ...] = ()
    second_factor: Literal["optional", "required"] = "optional"
    paths: tuple[AuthPath, ...] = ()


class Waf(msgspec.Struct, frozen=True):
    """A host's inspection: ``custom_rules`` are SecLang, one rule each."""

    mode: WafMode = "off"
    paranoia: int = 1
    custom_rules: tuple[str, ...] = ()


class RateLimit(msgspec.Struct, frozen=True):
    """At most ``requests`` in ``window`` seconds from one client address."""

    requests: int
    window: int


class Headers(msgspec.Struct, frozen=True):
    """Header fields to set and to remove on the way."""

    set: dict[str, HeaderValue] = {}
    remove: tuple[str, ...] = ()


class Match(msgspec.Struct, frozen=True):
    """When a rule applies: every named condition holds, any of its values suffices."""

    path: tuple[str, ...] = ()
    path_exact: tuple[str, ...] = ()
    method: tuple[str, ...] = ()
    header: dict[str, tuple[str, ...]] = {}
    query: dict[str, tuple[str, ...]] = {}
    remote_ip: tuple[str, ...] = ()


class FixedResponse(msgspec.Struct, frozen=True, tag="fixed_response", tag_field="type"):
    """Answer without asking an upstream."""

    status: int = 200
    body: str = ""
    content_type: str = "text/plain; charset=utf-8"


class Redirect(msgspec.Struct, frozen=True, tag="redirect", tag_field="type"):
    """Send the client elsewhere."""

    location: str
    status: int = 302


class Block(msgspec.Struct, frozen=True, tag="block", tag_field="type"):
    """Answer 403."""


Action = FixedResponse | Redirect | Block


class Rule(msgspec.Struct, frozen=True):
    """One rule of a host; lower ``priority`` is tried first, the first match wins."""

    priority: int
    action: Action
    match: Match = Match()


class Host(msgspec.Struct, frozen=True):
    """A published host. ``tls`` of None means: as ``settings/edge`` says."""

    name: str
    state: Literal["present", "absent"] = "present"
    upstreams: tuple[Upstream, ...] = ()
    auth: Auth = Auth()
    waf: Waf = Waf()
    rate_limit: RateLimit | None = None
    tls: Tls | None = None
    request_headers: Headers = Headers()
    response_headers: Headers = Headers()
    rules: tuple[Rule, ...] = ()
    access_log: bool = True

    def secret_names(self) -> frozenset[str]:
        """Names of the secrets this host cannot be served without."""
        values = (*self.request_headers.set.values(), *self.response_headers.set.values())
        return frozenset(value.secret for value in values if isinstance(value, SecretName))


class Settings(msgspec.Struct, frozen=True):
    """The singletons a document names; None leaves what is stored alone."""

    edge: EdgeSettings | None = None
    session: SessionSettings | None = None
    crowdsec: CrowdsecSettings | None = None
    oidc: OidcSettings | None = None


class Document(msgspec.Struct, frozen=True):
    """One call's worth of declaration."""

    owner: str = ""
    prune: bool = False
    settings: Settings = Settings()
    hosts: tuple[Host, ...] = ()


def canonical(value: Any) -> str:
    """JSON with sorted keys and no spaces: equal values give equal text."""
    return msgspec.json.encode(value, order="sorted").decode()


def spec_of(value: Host | EdgeSettings | SessionSettings | CrowdsecSettings | OidcSettings) -> dict[str, Any]:
    """Plain JSON values of a resource as it is stored: ``state`` is of the call, not of the resource."""
    spec: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(value))
    spec.pop("state", None)
    return spec
