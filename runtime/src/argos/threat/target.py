"""What a decision is about: one address or one range, and for how long."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import Literal

from argos.errors import FieldError, Invalid

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Scope = Literal["ip", "range"]

LONGEST = 8760 * 3600  # seconds: a year
SHORTEST = 60  # seconds; the bouncer asks every 10
REASON_LIMIT = 200  # characters
WIDEST = {4: 8, 6: 16}  # prefix lengths; a wider range is never one attacker
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_DURATION = re.compile(r"(?:\d{1,9}[smhdw]){1,5}", re.ASCII)
_PART = re.compile(r"(\d+)([smhdw])", re.ASCII)


@dataclass(frozen=True)
class Target:
    """An address (``ip``) or a range, in its one spelling: no host bits, IPv6 compressed, mapped IPv4 as IPv4."""

    network: Network

    @property
    def scope(self) -> Scope:
        """``ip`` for a single address."""
        return "ip" if self.network.prefixlen == self.network.max_prefixlen else "range"

    @property
    def value(self) -> str:
        """As CrowdSec and an operator write it."""
        return str(self.network.network_address) if self.scope == "ip" else str(self.network)


def network_of(text: str) -> Network | None:
    """The address or range that ``text`` is, or None. An IPv4 address written as IPv6 is the IPv4 address."""
    try:
        # APPSEC: Python takes any text as an IPv6 zone, which is no part of a client's address.
        network = None if "%" in text else ipaddress.ip_network(text.strip())
    except ValueError:
        return None
    if isinstance(network, ipaddress.IPv6Network) and network.prefixlen >= 96:
        mapped = network.network_address.ipv4_mapped
        if mapped is not None:
            return ipaddress.ip_network(f"{mapped}/{network.prefixlen - 96}")
    return network


def target_errors(text: str, scope: str | None) -> tuple[Target | None, list[FieldError]]:
    """Read a decision's value, and say what is wrong with it.

    Args:
        text: an address or a CIDR range without host bits.
        scope: ``ip``, ``range``, or None for what the value is.
    """
    resource = resource_of(text)
    network = network_of(text)
    if network is None:
        problem = f"is {text[:80]!r}"
        return None, [
            FieldError(resource, "value", problem, "an address such as 203.0.113.7, or a range such as 203.0.113.0/24")
        ]
    target = Target(network)
    if scope is not None and scope != target.scope:
        expected = f"scope {target.scope}, or none" if scope in {"ip", "range"} else "ip or range"
        return None, [FieldError(resource, "scope", f"is {scope[:20]!r} for {target.value}", expected)]
    if network.prefixlen < WIDEST[network.version]:
        expected = f"a prefix of at least /{WIDEST[network.version]}: several ranges, if it must be"
        return None, [FieldError(resource, "value", f"is {target.value}, too wide for one decision", expected)]
    return target, []


def parse_target(text: str, scope: str | None = None) -> Target:
    """As :func:`target_errors`.

    Raises:
        Invalid: ``text`` is no address and no range, or not of that scope.
    """
    target, errors = target_errors(text, scope)
    if target is None:
        raise Invalid(errors)
    return target


def duration_errors(text: str, resource: str) -> tuple[int, list[FieldError]]:
    """Seconds of a duration such as ``4h``, ``7d`` or ``1h30m``; LAPI itself knows no days."""
    seconds = 0
    if _DURATION.fullmatch(text):
        seconds = sum(int(number) * _UNITS[unit] for number, unit in _PART.findall(text))
    if not SHORTEST <= seconds <= LONGEST:
        expected = "a number with s, m, h, d or w, such as 4h, 7d or 1h30m; 1m to 8760h"
        return 0, [FieldError(resource, "duration", f"is {text[:40]!r}", expected)]
    return seconds, []


def duration_text(seconds: int) -> str:
    """Seconds as an operator writes them: ``4h``, ``7d``, ``1h30m``."""
    parts = []
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60), ("s", 1)):
        number, seconds = divmod(seconds, size)
        if number:
            parts.append(f"{number}{unit}")
    return "".join(parts) or "0s"


def reason_errors(text: str, resource: str) -> list[FieldError]:
    """Check a reason: it goes into CrowdSec's database and its log, so one printable line."""
    if not text.strip() or len(text) > REASON_LIMIT or not text.isprintable():
        problem = "is empty" if not text.strip() else "is not one printable line of that length"
        return [FieldError(resource, "reason", problem, f"1 to {REASON_LIMIT} printable characters")]
    return []


def resource_of(value: str) -> str:
    """How errors and the audit name a decision."""
    return "decision/" + "".join(letter if letter.isprintable() else "?" for letter in value)[:64]
