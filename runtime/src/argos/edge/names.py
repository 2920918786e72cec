"""Names of hosts, networks and upstreams: what is accepted, and why the rest is not.

Each check returns what is wrong, or None.
"""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import urlsplit

_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")

_ZONE = re.compile(r"[A-Za-z0-9._-]{1,15}")

# Never an upstream: LAPI, Caddy's admin (its default port) and the panel would answer a visitor as one of us.
_OUR_PORTS = {8080: "CrowdSec's LAPI", 2019: "Caddy's admin API", 9080: "the panel"}


def host_name_problem(name: str) -> str | None:
    """Check a fully qualified host name (RFC 1123 §2.1) in lower case, with two labels at least."""
    labels = name.split(".")
    if name != name.lower():
        return f"is {name!r}, which has capital letters"
    if not name.isascii():
        return f"is {name!r}, which has letters outside ASCII (write its punycode form, xn--…)"
    if len(labels) < 2:
        return f"is {name!r}, which has no domain"
    if len(name) > 253 or labels[-1].isdigit() or not all(_LABEL.fullmatch(label) for label in labels):
        return f"is {name!r}, which is not a host name"
    return None


def published_name_problem(name: str) -> str | None:
    """As :func:`host_name_problem`; one leading ``*.`` may stand for a label."""
    return host_name_problem(name.removeprefix("*."))


def network_problem(text: str) -> str | None:
    """Check an address or a CIDR network, written without host bits."""
    try:
        ipaddress.ip_network(text)
    except ValueError as reason:
        return f"is {text!r}: {reason}"
    return _zone_problem(text.partition("/")[0])


def upstream_problem(url: str) -> str | None:
    """Check an upstream: scheme, host and port, nothing more, and none of our own listeners."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as reason:
        return f"is {url!r}: {reason}"
    if parts.scheme not in ("http", "https") or not url.startswith(f"{parts.scheme}://"):
        return f"is {url!r}, which is neither http:// nor https://"
    if "@" in parts.netloc:
        return "holds a user name or a password"
    if not parts.hostname or port is None or port == 0:
        return f"is {url!r}, which lacks a host or a port"
    if url.removesuffix("/") != f"{parts.scheme}://{parts.netloc}":
        return f"is {url!r}, which has more than a host and a port"
    return _dialed_problem(parts.hostname, parts.netloc, port)


def _dialed_problem(host: str, netloc: str, port: int) -> str | None:
    address = parse_address(host)
    if address is None:
        # WHATWG URL §3.5: a name whose last label is a number would be dialled as an address (127.1, 2130706433).
        if host_problem := dns_name_problem(host):
            return host_problem
    elif isinstance(address, ipaddress.IPv6Address) and not netloc.startswith("["):
        return f"is the address {host}, which must stand in brackets"
    elif zone_problem := _zone_problem(host):
        return zone_problem
    loopback = is_loopback(host, address)
    if loopback and port in _OUR_PORTS:
        return f"is {_OUR_PORTS[port]}"
    return None


def _zone_problem(address: str) -> str | None:
    # RFC 4007 §11: Python takes any text as a zone, and Caddy would replace a placeholder in it.
    zone = address.partition("%")[2]
    if zone and not _ZONE.fullmatch(zone):
        return f"is {address!r}, whose zone is no interface's name"
    return None


def dns_name_problem(host: str) -> str | None:
    """Check a name that is dialled, in lower case; one label is enough."""
    labels = host.rstrip(".").split(".")
    name = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")
    if len(host) > 253 or not all(name.fullmatch(label) for label in labels):
        return f"names {host!r}, which is neither an address nor a host name"
    if re.fullmatch(r"\d+|0x[0-9a-f]*", labels[-1]):
        return f"names {host!r}, which is not a plain address"
    return None


def parse_address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """The address that ``host`` is, or None for a name. A mapped IPv4 address is given as IPv4."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        return address.ipv4_mapped
    return address


def is_loopback(host: str, address: ipaddress.IPv4Address | ipaddress.IPv6Address | None) -> bool:
    """Whether dialling ``host`` reaches this machine itself; the unspecified address does too."""
    if address is not None:
        return address.is_loopback or address.is_unspecified
    name = host.rstrip(".")
    # The last two stand in Debian's /etc/hosts.
    return name == "localhost" or name.endswith(".localhost") or name in ("ip6-localhost", "ip6-loopback")


def dial_of(url: str) -> tuple[str, bool]:
    """``host:port`` to dial for a checked upstream URL, and whether it speaks TLS."""
    parts = urlsplit(url)
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    return f"{host}:{parts.port}", parts.scheme == "https"
