"""The one place that turns a request into a client's address (LOG-3).

``behind_caddy``: Caddy decides it once and says it in ``Argos-Client-Ip``; only
Caddy can open the socket. ``lan``: the TCP peer, and forwarded headers are ignored.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from typing import Any

from argos.errors import ArgosError

IPV6_NETWORK_BITS = 64  # what one customer commonly gets: counting single addresses would count nothing


class NoClientAddress(ArgosError):
    """The request does not say where it comes from; it is answered with a denial."""


def client_address(environ: Mapping[str, Any], mode: str) -> str:
    """Return the client's address in its canonical form.

    Args:
        environ: WSGI's, of a request on the panel's listener.
        mode: ``behind_caddy`` or ``lan``.

    Raises:
        NoClientAddress: it is missing or is no address.
    """
    source = "HTTP_ARGOS_CLIENT_IP" if mode == "behind_caddy" else "REMOTE_ADDR"
    address = canonical_address(str(environ.get(source, "")))
    if address is None:
        raise NoClientAddress(f"The request carries no client address ({source})")
    return address


def canonical_address(text: str) -> str | None:
    """Return one spelling per address, IPv4 in IPv6 as IPv4, without a zone; None for what is no address."""
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return str(mapped or address)


def network_key(address: str) -> str:
    """Return what limits count: an IPv4 address itself, an IPv6 address's /64.

    Raises:
        NoClientAddress: it is no address.
    """
    canonical = canonical_address(address)
    if canonical is None:
        raise NoClientAddress("The client address is no IP address")
    if ":" not in canonical:
        return canonical
    return str(ipaddress.ip_network(f"{canonical}/{IPV6_NETWORK_BITS}", strict=False))
