"""A published host."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from argos.edge.model.auth import Auth
from argos.edge.model.limits import Maintenance, PathLimit, RateLimit
from argos.edge.model.rules import Forward, Rule
from argos.edge.model.tls import Tls
from argos.edge.model.upstreams import Proxy, Upstream
from argos.edge.model.values import HeaderValue, Presence, SecretName
from argos.edge.model.waf import Waf

MAX_HOSTS = 5000


class Headers(msgspec.Struct, frozen=True):
    """Header fields to set, to add beside what is there, and to remove on the way."""

    set: dict[str, HeaderValue] = {}
    add: dict[str, HeaderValue] = {}
    remove: tuple[str, ...] = ()

    def secret_names(self) -> frozenset[str]:
        """Names of the secrets among the values."""
        values = (*self.set.values(), *self.add.values())
        return frozenset(value.secret for value in values if isinstance(value, SecretName))


class Host(msgspec.Struct, frozen=True):
    """A published host. ``tls`` of None means: as ``settings/edge`` says."""

    name: str
    state: Presence = "present"
    upstreams: tuple[Upstream, ...] = ()
    proxy: Proxy = Proxy()
    auth: Auth = Auth()
    waf: Waf = Waf()
    rate_limit: RateLimit | None = None
    path_limits: tuple[PathLimit, ...] = ()
    max_concurrent: int = 512
    max_concurrent_per_client: int = 256
    body_limit: int = 0
    tls: Tls | None = None
    request_headers: Headers = Headers()
    response_headers: Headers = Headers()
    keep_headers: tuple[str, ...] = ()
    rules: tuple[Rule, ...] = ()
    www: Literal["none", "add", "remove"] = "none"
    trailing_slash: Literal["keep", "add", "remove"] = "keep"
    lan_only: bool = False
    lan_networks: tuple[str, ...] = ()
    maintenance: Maintenance = Maintenance()
    compression: bool = False
    grpc: bool = False
    access_log: bool = True
    raw_handlers: tuple[dict[str, Any], ...] = ()
    raw_unrestricted: bool = False

    def names(self) -> tuple[str, ...]:
        """Every name that the host answers to: the one that serves, then the one that is redirected to it."""
        if self.www == "none":
            return (self.name,)
        plain, www = self.name, f"www.{self.name}"
        return (www, plain) if self.www == "add" else (plain, www)

    def groups(self) -> tuple[tuple[str, tuple[Upstream, ...]], ...]:
        """Every group of upstreams with its place in the declaration: the host's own, then those of its rules."""
        others = tuple(
            (f"rules[priority {rule.priority}].action.upstreams", rule.action.upstreams)
            for rule in self.rules
            if isinstance(rule.action, Forward)
        )
        return (("upstreams", self.upstreams), *others)

    def secret_names(self) -> frozenset[str]:
        """Names of the secrets this host cannot be served without."""
        return self.request_headers.secret_names() | self.response_headers.secret_names()
