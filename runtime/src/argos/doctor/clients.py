"""Whether Caddy sees who really calls."""

from __future__ import annotations

import ipaddress
import json
from pathlib import Path

from argos.doctor.finding import Finding
from argos.log_tail import tail
from argos.private_networks import PRIVATE

_TAIL = 256 * 1024
_ENOUGH = 20
_EXEMPT = tuple(ipaddress.ip_network(network) for network in PRIVATE)  # by CrowdSec's whitelist


def check_clients(access_log: Path) -> Finding:
    """Warn when every request of late came from one private address.

    A masquerading forward in front of the guest shows all clients as its own
    address, which CrowdSec's whitelist exempts: bans and limits then silently do
    nothing.
    """
    name = "client addresses"
    try:
        seen = _addresses(tail(access_log, _TAIL))
    except FileNotFoundError:
        return Finding(name, "ok", "No requests yet.")
    except OSError as error:
        return Finding(name, "unknown", f"{access_log} cannot be read: {error.strerror}.", "Run as root or argos.")
    distinct = set(seen)
    if len(seen) >= _ENOUGH and len(distinct) == 1:
        only = next(iter(distinct))
        if _is_private(only):
            return Finding(
                name,
                "warning",
                f"The last {len(seen)} requests all came from the private address {only}.",
                "If they were not all yours, something in front of this guest hides the clients' addresses, and bans "
                "and limits do nothing. Forward the ports by DNAT without masquerading, or name the proxy in "
                "settings.edge.trusted_proxies.",
            )
    return Finding(name, "ok", f"{len(distinct)} different addresses in the last {len(seen)} requests.")


def _addresses(lines: bytes) -> list[str]:
    found = []
    for line in lines.splitlines():
        try:
            entry = json.loads(line)
            address = entry["request"]["client_ip"]
        except (ValueError, KeyError, TypeError):  # a line that a crash cut; others are not requests
            continue
        if isinstance(address, str):
            found.append(address)
    return found


def _is_private(address: str) -> bool:
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    return any(parsed in network for network in _EXEMPT)
