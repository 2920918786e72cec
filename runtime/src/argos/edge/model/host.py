"""A published host."""

from __future__ import annotations

import msgspec

from argos.edge.model.auth import Auth
from argos.edge.model.rules import Rule
from argos.edge.model.tls import Tls
from argos.edge.model.values import HeaderValue, Presence, SecretName
from argos.edge.model.waf import Waf

MAX_HOSTS = 5000


class Upstream(msgspec.Struct, frozen=True):
    """One server behind a host; ``url`` is scheme, host and port, nothing more."""

    url: str
    weight: int = 1


class RateLimit(msgspec.Struct, frozen=True):
    """At most ``requests`` in ``window`` seconds from one client address."""

    requests: int
    window: int


class Headers(msgspec.Struct, frozen=True):
    """Header fields to set and to remove on the way."""

    set: dict[str, HeaderValue] = {}
    remove: tuple[str, ...] = ()


class Host(msgspec.Struct, frozen=True):
    """A published host. ``tls`` of None means: as ``settings/edge`` says."""

    name: str
    state: Presence = "present"
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
