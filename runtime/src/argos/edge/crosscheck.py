"""Rules that hold between resources, checked on the state a plan leads to."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from functools import cache
from typing import TYPE_CHECKING, Literal
from urllib.parse import urlsplit

from argos.edge import chains
from argos.edge.decode.kinds import KINDS
from argos.edge.model import EdgeSettings, Host, Tls, secret_places
from argos.edge.names import is_loopback, parse_address
from argos.edge.plan import State
from argos.edge.waf_policy import reference_errors
from argos.errors import FieldError

if TYPE_CHECKING:
    from publicsuffixlist import PublicSuffixList

Mode = Literal["behind_caddy", "lan"]


def crosscheck(
    state: State,
    mode: Mode,
    secrets: Collection[str] = (),
    our_ports: Collection[int] = (),
    panel_at: Collection[tuple[str, int]] = (),
) -> list[FieldError]:
    """Everything that does not fit together in ``state``.

    Args:
        state: what would be declared.
        mode: of this guest.
        secrets: names that have a value.
        our_ports: loopback ports of our own services, never an upstream.
        panel_at: addresses and ports where the panel listens beside loopback, in lan; never an upstream either.
    """
    hosts = state.hosts()
    edge = state.edge
    errors = [*_oidc_errors(state, secrets), *_mail_errors(state, secrets), *_secret_errors(state, secrets)]
    if edge is None:
        if not hosts:
            return errors
        example = "settings.edge with panel_host and parent_domain, before any host"
        return [FieldError("settings/edge", "", "is not declared", example)]
    errors.extend(_edge_errors(edge, mode))
    errors.extend(_count_errors(state))
    errors.extend(reference_errors(hosts, state.waf_policies()))
    lapi_port = urlsplit(state.crowdsec.lapi_url).port
    ports = {*our_ports, *([lapi_port] if lapi_port else [])}
    errors.extend(_name_errors(hosts, edge))
    errors.extend(_tls_errors(state, edge, mode))
    for host in hosts:
        errors.extend(_host_errors(host, edge, mode))
        errors.extend(_upstream_errors(host, ports, panel_at))
    return errors


def _count_errors(state: State) -> Iterator[FieldError]:
    for kind in KINDS.values():
        count = len(state.of_kind(kind.name))
        if count > kind.limit:
            problem = f"would leave {count} {kind.field.replace('_', ' ')}"
            yield FieldError("document", kind.field, problem, f"at most {kind.limit}")


def _oidc_errors(state: State, secrets: Collection[str]) -> Iterator[FieldError]:
    oidc = state.oidc
    # Switched off it needs nothing: the break glass works whatever else is missing (OIDC-6).
    if oidc is not None and oidc.enabled and oidc.client_secret and oidc.client_secret.secret not in secrets:
        yield FieldError(
            "settings/oidc",
            "client_secret.secret",
            f"names {oidc.client_secret.secret!r}, which has no value",
            "the name of a secret that was set before",
        )


def _mail_errors(state: State, secrets: Collection[str]) -> Iterator[FieldError]:
    mail = state.mail
    if mail is not None and mail.enabled and mail.password and mail.password.secret not in secrets:
        yield FieldError(
            "settings/mail",
            "password.secret",
            f"names {mail.password.secret!r}, which has no value",
            "the name of a secret that was set before",
        )


def _edge_errors(edge: EdgeSettings, mode: Mode) -> Iterator[FieldError]:
    parent = edge.parent_domain
    if _public_suffixes().is_public(parent):
        # Browsers refuse a cookie for a public suffix, and it would reach strangers' hosts.
        yield FieldError("settings/edge", "parent_domain", f"is {parent!r}, a public suffix", "a domain of your own")
    if not edge.panel_host.endswith(f".{parent}"):
        yield FieldError(
            "settings/edge", "panel_host", f"is {edge.panel_host!r}", f"a name below parent_domain, which is {parent!r}"
        )
    if mode == "behind_caddy" and edge.tls.mode == "off" and not edge.trusted_proxies:
        yield FieldError(
            "settings/edge",
            "tls.mode",
            "is off, and no proxy in front terminates TLS",
            "internal or auto, or the proxy's address in trusted_proxies",
        )


def _tls_errors(state: State, edge: EdgeSettings, mode: Mode) -> Iterator[FieldError]:
    providers = {provider.name for provider in state.of_kind("dns_provider")}
    certificates = {certificate.name: certificate.certificate for certificate in state.of_kind("certificate")}
    yield from _reference_errors("settings/edge", edge.tls, providers, certificates)
    if mode == "behind_caddy":
        yield from _certificate_errors("settings/edge", edge.panel_host, edge.tls, certificates)
    for host in state.hosts():
        if host.tls is not None:
            yield from _reference_errors(f"host/{host.name}", host.tls, providers, certificates)
        for name in host.names():
            tls = host.tls.beside(edge.tls) if host.tls else edge.tls
            yield from _certificate_errors(f"host/{host.name}", name, tls, certificates)


def _reference_errors(
    resource: str, tls: Tls, providers: Collection[str], certificates: Collection[str]
) -> Iterator[FieldError]:
    if tls.mode == "auto" and tls.challenge == "dns" and tls.dns_provider not in providers:
        problem = f"names {tls.dns_provider!r}, which is not declared"
        yield FieldError(resource, "tls.dns_provider", problem, "the name of a dns_provider")
    if tls.mode == "manual" and tls.certificate not in certificates:
        problem = f"names {tls.certificate!r}, which is not declared"
        yield FieldError(resource, "tls.certificate", problem, "the name of a certificate")


def _certificate_errors(resource: str, name: str, tls: Tls, certificates: Mapping[str, str]) -> Iterator[FieldError]:
    if tls.mode == "auto" and name.startswith("*.") and tls.challenge != "dns":
        # RFC 8555 §7.1.3 lets a CA ask for DNS, and Let's Encrypt does for each wildcard.
        problem = f"is {tls.challenge or 'http'}, and {name!r} is a wildcard"
        yield FieldError(resource, "tls.challenge", problem, "dns, with a dns_provider")
    if tls.mode == "manual" and tls.certificate in certificates:
        chain = chains.read(certificates[tls.certificate])
        if not chain.covers(name):
            problem = f"names {tls.certificate!r}, which is not for {name}"
            yield FieldError(
                resource,
                "tls.certificate",
                problem,
                "a certificate for it; that one is for " + ", ".join(chain.names[:5]),
            )


def _host_errors(host: Host, edge: EdgeSettings, mode: Mode) -> Iterator[FieldError]:
    resource = f"host/{host.name}"
    tls = host.tls or edge.tls
    if host.name == edge.panel_host:
        yield FieldError(resource, "name", "is the panel's own name", "another name")
    if not host.auth.required:
        return
    if not f".{host.name.removeprefix('*.')}".endswith(f".{edge.parent_domain}"):
        yield FieldError(
            resource,
            "auth.required",
            "is true, and the sign-in cookie does not reach this host",
            f"a name below parent_domain, which is {edge.parent_domain!r}",
        )
    if mode == "behind_caddy" and tls.mode == "off" and not edge.trusted_proxies:
        yield FieldError(
            resource,
            "tls.mode",
            "is off on a host behind sign-on, and no proxy in front terminates TLS",
            "internal or auto, or the proxy's address in settings.edge.trusted_proxies",
        )


def _secret_errors(state: State, secrets: Collection[str]) -> Iterator[FieldError]:
    known = set(secrets)
    for kind in KINDS:
        for resource in state.of_kind(kind):
            if kind == "host" and resource.secret_names() <= known:
                continue  # PERF: of hosts there are thousands, and most name none
            for place, name in secret_places(resource):
                if name not in secrets:
                    yield FieldError(
                        f"{kind}/{resource.name}",
                        place,
                        f"names {name!r}, which has no value",
                        "the name of a secret that was set before",
                    )


def _upstream_errors(host: Host, ports: Collection[int], panel_at: Collection[tuple[str, int]]) -> Iterator[FieldError]:
    for place, upstreams in host.groups():
        for index, upstream in enumerate(upstreams):
            parts = urlsplit(upstream.url)
            name = parts.hostname or ""
            address = parse_address(name)
            ours = parts.port in ports and is_loopback(name, address)
            if ours or (str(address), parts.port) in panel_at:
                yield FieldError(
                    f"host/{host.name}",
                    f"{place}[{index}].url",
                    f"is {upstream.url!r}, one of Argos's own services",
                    "a server that is not Argos's own",
                )


def _name_errors(hosts: Collection[Host], edge: EdgeSettings) -> Iterator[FieldError]:
    """``www`` gives a host a second name, which nobody else may have."""
    taken = {host.name for host in hosts} | {edge.panel_host}
    for host in hosts:
        for name in host.names():
            if name != host.name and name in taken:
                yield FieldError(
                    f"host/{host.name}", "www", f"is {host.www}, and {name!r} is also declared", "one of the two"
                )


@cache
def _public_suffixes() -> PublicSuffixList:
    from publicsuffixlist import PublicSuffixList

    return PublicSuffixList()
