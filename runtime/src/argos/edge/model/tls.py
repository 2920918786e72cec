"""Where certificates come from."""

from __future__ import annotations

from typing import Literal

import msgspec

from argos.edge.model.values import Presence, SecretName

TlsMode = Literal["internal", "auto", "manual", "off"]
Challenge = Literal["http", "tls-alpn", "dns"]
TlsVersion = Literal["1.2", "1.3"]
DnsProviderType = Literal["cloudflare", "route53"]


class Tls(msgspec.Struct, frozen=True):
    """Where a host's certificate comes from: Caddy's own CA, an ACME CA, the operator, or none.

    What a host leaves out is as ``settings/edge`` says (:meth:`beside`). Left out there too: ``challenge`` is http,
    ``ca`` Let's Encrypt, ``min_version`` 1.2. ``ca_root`` (PEM) goes with the ``ca`` beside it, ``dns_provider`` with
    the ``challenge``.
    """

    mode: TlsMode = "internal"
    email: str = ""
    challenge: Challenge | None = None
    dns_provider: str = ""
    certificate: str = ""
    ca: str = ""
    ca_root: str = ""
    min_version: TlsVersion | None = None

    def beside(self, edge: Tls) -> Tls:
        """These settings of a host, with what they leave out of how an ACME CA is asked."""
        if self.mode != "auto":
            return self
        email = self.email or edge.email
        if self.challenge is not None:
            return msgspec.structs.replace(self, email=email)
        return msgspec.structs.replace(self, email=email, challenge=edge.challenge, dns_provider=edge.dns_provider)


class DnsProvider(msgspec.Struct, frozen=True):
    """An account at a DNS provider, for the DNS challenge (RFC 8555 §8.4).

    ``resolvers`` are asked about the zone in place of the guest's own; ``propagation_timeout`` in seconds.
    """

    name: str
    state: Presence = "present"
    type: DnsProviderType = "cloudflare"
    api_token: SecretName | None = None
    access_key_id: str = ""
    secret_access_key: SecretName | None = None
    region: str = ""
    hosted_zone_id: str = ""
    resolvers: tuple[str, ...] = ()
    propagation_timeout: int = 120

    def secret_names(self) -> frozenset[str]:
        """Names of the secrets that Caddy needs to change the zone."""
        return frozenset(value.secret for value in (self.api_token, self.secret_access_key) if value)


class Certificate(msgspec.Struct, frozen=True):
    """A certificate of the operator's: ``certificate`` is the chain in PEM, its own first; ``key`` a secret in PEM."""

    name: str
    state: Presence = "present"
    certificate: str = ""
    key: SecretName | None = None

    def secret_names(self) -> frozenset[str]:
        """None: Caddy is given the key once, and keeps it among its own (argos.edge.own_certificates)."""
        return frozenset()
