"""Whom a decision must not hit by mistake: the operator, the house, and this edge itself.

A bouncer that bans its owner is what users of such products complain of most. What is
listed here is refused without ``force``; what the operator exempts in
``settings.crowdsec.whitelist`` is refused always, as a ban of it would do nothing.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from argos.edge.model import CrowdsecSettings, EdgeSettings
from argos.edge.proxy_presets import proxy_ranges
from argos.errors import FieldError
from argos.private_networks import NO_VISITORS
from argos.threat.target import Network, Target, network_of, resource_of

_PRIVATE = tuple(ipaddress.ip_network(text) for text in NO_VISITORS)
_LEAF = re.compile(r"\|-- (\d+\.\d+\.\d+\.\d+)")
_NETWORK_FILES = Path("/proc/self/net")


@dataclass(frozen=True)
class Protected:
    """One network and why it is kept from bans, as the end of a sentence."""

    network: Network
    why: str


def protected_networks(
    edge: EdgeSettings | None, callers: Iterable[str], admins: Iterable[str], own: Iterable[str]
) -> Iterator[Protected]:
    """Everything that is refused without ``force``.

    Args:
        edge: the declared settings; their proxies carry everybody's requests.
        callers: addresses of whoever asks, as the panel or the caller's machine knows them.
        admins: addresses of administrators who are signed in.
        own: addresses of this machine.
    """
    for why, addresses in (
        ("your own address", callers),
        ("an address from which an administrator is signed in", admins),
        ("an address of this machine", own),
        ("a trusted proxy", proxy_ranges(edge.trusted_proxies) if edge else ()),
        ("a declared auth proxy", edge.auth_proxies if edge else ()),
    ):
        for text in addresses:
            network = network_of(text)
            if network is not None:
                yield Protected(network, why)
    for network in _PRIVATE:
        yield Protected(network, "a private range")


def protection_errors(target: Target, protected: Iterable[Protected]) -> list[FieldError]:
    """Why ``target`` is not banned without ``force``: the first reason is enough."""
    for one in protected:
        if target.network.version == one.network.version and target.network.overlaps(one.network):
            what = (
                f"is {target.value}"
                if target.scope == "ip"
                else f"is {target.value}, which contains {_text(one.network)}"
            )
            return [FieldError(resource_of(target.value), "value", f"{what}: {one.why}", "another one, or force")]
    return []


def whitelist_errors(target: Target, crowdsec: CrowdsecSettings) -> list[FieldError]:
    """Refuse what lies within the declared whitelist: the edge would let it pass all the same."""
    for exempt in crowdsec.whitelist:
        network = network_of(exempt.value)
        if network is None or network.version != target.network.version:
            continue
        if target.network.subnet_of(network):  # type: ignore[arg-type]  # the versions are equal
            problem = f"is {target.value}, which settings.crowdsec.whitelist exempts ({exempt.value})"
            return [FieldError(resource_of(target.value), "value", problem, "one that is not on the whitelist")]
    return []


def own_addresses(place: Path = _NETWORK_FILES) -> list[str]:
    """This machine's addresses, as the kernel lists them for this process; what cannot be read is left out."""
    return [*_own_ipv4(place / "fib_trie"), *_own_ipv6(place / "if_inet6")]


def _own_ipv4(path: Path) -> list[str]:
    found: dict[str, None] = {}
    leaf = ""
    for line in _lines(path):
        match = _LEAF.search(line)
        if match:
            leaf = match[1]
        elif "/32 host LOCAL" in line:
            found[leaf] = None
    return list(found)


def _own_ipv6(path: Path) -> list[str]:
    digits = [line.split()[0] for line in _lines(path) if line.strip()]
    return [str(ipaddress.IPv6Address(int(text, 16))) for text in digits if re.fullmatch(r"[0-9a-f]{32}", text)]


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return []


def _text(network: Network) -> str:
    return Target(network).value
