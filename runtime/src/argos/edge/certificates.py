"""Which certificates Caddy keeps, from whom, and which one a handshake is shown."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import PurePosixPath
from typing import Any

from argos.edge import chains
from argos.edge.context import RenderContext
from argos.edge.model import Certificate, DnsProvider, EdgeSettings, Tls, canonical
from argos.edge.plan import State

NOBODY = "unconfigured.invalid"
"""The name on the certificate that an unknown server name is shown: it tells a scanner nothing (RFC 2606 §2)."""
OWN_TAG = "argos:"
"""Before a certificate's name, the tag that argos-caddy loads it with."""

EVENTS = {
    "subscriptions": [{"events": ["cert_failed", "cert_obtained"], "handlers": [{"handler": "argos_certificates"}]}]
}
"""The ``events`` app: argos-caddy remembers why a certificate was not had."""

Named = tuple[str, Tls]


def secured(state: State, *, with_panel: bool) -> list[Named]:
    """Every name that is served over TLS with its settings, by name."""
    edge = state.edge
    default = edge.tls if edge else Tls()
    names = [
        (name, host.tls.beside(default) if host.tls else default) for host in state.hosts() for name in host.names()
    ]
    if edge and with_panel:
        names.append((edge.panel_host, default))
    return sorted((named for named in names if named[1].mode != "off"), key=lambda named: named[0])


def identifier(certificate: Certificate) -> str:
    """How argos-caddy names the stored chain: another chain is another file."""
    return f"{certificate.name}.{chains.read(certificate.certificate).fingerprint}"


def tls_app(names: Iterable[Named], state: State, context: RenderContext, *, fallback: bool = False) -> dict[str, Any]:
    """The ``tls`` app for host names with their settings.

    Args:
        names: those served over TLS.
        state: what else is declared: certificates and DNS providers.
        context: of this guest.
        fallback: leave the DNS providers out, whose credentials may be missing: Caddy would
            not start. Certificates that are there go on serving.
    """
    internal = [NOBODY]
    issuers: dict[str, dict[str, Any]] = {}
    subjects: defaultdict[str, list[str]] = defaultdict(list)
    providers = {provider.name: provider for provider in state.of_kind("dns_provider")}
    for name, tls in names:
        if tls.mode == "internal":
            internal.append(name)
        elif tls.mode == "auto":
            issuer = _acme(tls, state.edge, {} if fallback else providers, context)
            key = canonical(issuer)
            issuers[key] = issuer
            subjects[key].append(name)
    policies: list[dict[str, Any]] = [{"subjects": internal, "issuers": [{"module": "internal"}]}]
    policies += [{"subjects": subjects[key], "issuers": [issuers[key]]} for key in sorted(issuers)]
    managed = sorted([*internal, *(name for some in subjects.values() for name in some)])
    certificates: dict[str, Any] = {"automate": managed}
    if own := [identifier(certificate) for certificate in state.of_kind("certificate")]:
        certificates["argos"] = {"identifiers": own}
    automation: dict[str, Any] = {"policies": policies}
    if context.renewal_check:
        automation["renew_interval"] = context.renewal_check
    return {"certificates": certificates, "automation": automation}


def _acme(
    tls: Tls, edge: EdgeSettings | None, providers: dict[str, DnsProvider], context: RenderContext
) -> dict[str, Any]:
    # The ports are said, or Caddy would take a free port 80 or 443 of the guest for itself while it is asked.
    challenge = tls.challenge or "http"
    challenges: dict[str, Any] = {
        "http": {"alternate_port": context.http_port} if challenge == "http" else {"disabled": True},
        "tls-alpn": {"alternate_port": context.https_port} if challenge == "tls-alpn" else {"disabled": True},
    }
    if challenge == "dns" and tls.dns_provider in providers:
        challenges["dns"] = _dns(providers[tls.dns_provider], context)
    issuer: dict[str, Any] = {"module": "acme", "challenges": challenges}
    if tls.email:
        issuer["email"] = tls.email
    directory, roots = authority(tls, edge, context)
    if directory:
        issuer["ca"] = directory
    if roots:
        issuer["trusted_roots_pem_files"] = [roots]
    return issuer


def authority(tls: Tls, edge: EdgeSettings | None, context: RenderContext) -> tuple[str, str]:
    """The CA's directory and the file of the roots it is known by: environment, host, edge, else Let's Encrypt."""
    if context.acme_ca:
        return context.acme_ca, context.acme_ca_root
    chosen = tls if tls.ca or edge is None else edge.tls
    return chosen.ca, root_file(chosen.ca_root, context) if chosen.ca_root else ""


def root_file(pem: str, context: RenderContext) -> str:
    """Where the roots ``pem`` are kept for Caddy to read."""
    digest = hashlib.sha256(pem.encode()).hexdigest()[:32]
    return str(PurePosixPath(context.edge_dir) / f"acme-root-{digest}.pem")


def root_files(state: State, context: RenderContext) -> dict[str, str]:
    """Every file of roots that the rendering of ``state`` names, with its content."""
    declared = [host.tls for host in state.hosts() if host.tls] + ([state.edge.tls] if state.edge else [])
    return {root_file(tls.ca_root, context): tls.ca_root for tls in declared if tls.ca_root}


def _dns(provider: DnsProvider, context: RenderContext) -> dict[str, Any]:
    settings: dict[str, Any] = {"name": provider.type}
    if provider.api_token:
        settings["api_token"] = context.secret(provider.api_token.secret)
    if provider.secret_access_key:
        settings["access_key_id"] = provider.access_key_id
        settings["secret_access_key"] = context.secret(provider.secret_access_key.secret)
        settings["region"] = provider.region
    if provider.hosted_zone_id:
        settings["hosted_zone_id"] = provider.hosted_zone_id
    dns: dict[str, Any] = {"provider": settings, "propagation_timeout": f"{provider.propagation_timeout}s"}
    if provider.resolvers:
        dns["resolvers"] = list(provider.resolvers)
    return dns


def connection_policies(names: Iterable[Named], edge: EdgeSettings | None) -> list[dict[str, Any]]:
    """What a handshake is shown by its server name, and the least TLS version it may speak.

    Caddy takes the first that matches: names of their own stand before wildcards, and the last
    lets a handshake for an unknown name succeed, so that its request can be answered 421.
    """
    common = (edge.tls.min_version if edge else None) or "1.2"
    alike: defaultdict[tuple[bool, str, str], list[str]] = defaultdict(list)
    for name, tls in names:
        version = tls.min_version or common
        own = tls.certificate if tls.mode == "manual" else ""
        alike[name.startswith("*"), own, version].append(name)
    # A name under a wildcard's policy would get that one's, so all get one of their own as soon as any wildcard has.
    special = [key for key in alike if key[1] or key[2] != common]
    wild = any(key[0] for key in special)
    policies = [
        {"match": {"sni": alike[key]}, **_policy(key[1], key[2])} for key in sorted(alike) if wild or key in special
    ]
    return [*policies, _policy("", common)]


def _policy(own: str, version: str) -> dict[str, Any]:
    policy: dict[str, Any] = {"default_sni": NOBODY, "fallback_sni": NOBODY}
    if own:
        policy["certificate_selection"] = {"any_tag": [OWN_TAG + own]}
    if version != "1.2":
        policy["protocol_min"] = f"tls{version}"
    return policy


def used_certificates(state: State) -> Iterator[tuple[str, str]]:
    """Names of certificates with the host that uses each; the panel's is among them."""
    for name, tls in secured(state, with_panel=True):
        if tls.mode == "manual":
            yield tls.certificate, name
