"""Choose the guest's IPv4 network, or name what stands in its way.

    network_plan.py NAME [--subnet CIDR] [--remembered CIDR] [--publish 443/tcp,…]

Prints one JSON object: {"subnet", "gateway", "address", "prefix", "mtu", "nameservers"}. Reads the kernel's tables
only (connected networks, other bridges and VPNs all show among the routes), so it needs neither root nor iproute2.
Exit 1 with one line on stderr when the network asked for is taken or no /24, or a port to publish is in use here.
"""

from __future__ import annotations

import argparse
import hashlib
import ipaddress
import json
import socket
import struct
import sys
from pathlib import Path

ROUTES = Path("/proc/net/route")
RESOLVERS = (Path("/etc/resolv.conf"), Path("/run/systemd/resolve/resolv.conf"))
LISTENING = "0A"  # a TCP socket's state in /proc/net/tcp
UNCONNECTED = "07"  # a bound UDP socket's
TRIES = 256


class Taken(Exception):
    """The network cannot be used; the text says why and what to do."""


def routes_in_use(text: str, own_bridge: str) -> list[tuple[str, ipaddress.IPv4Network]]:
    """Interface and network of each route in /proc/net/route's text but the default one and our own bridge's."""
    found = []
    for line in text.splitlines()[1:]:
        fields = line.split()
        if len(fields) < 8 or fields[0] == own_bridge:
            continue
        destination, mask = (socket.inet_ntoa(struct.pack("<L", int(fields[n], 16))) for n in (1, 7))
        network = ipaddress.IPv4Network(f"{destination}/{mask}")
        if network.prefixlen > 0:
            found.append((fields[0], network))
    return found


def clash(
    wanted: ipaddress.IPv4Network, in_use: list[tuple[str, ipaddress.IPv4Network]]
) -> tuple[str, ipaddress.IPv4Network] | None:
    """Return the first route that overlaps the wanted network."""
    return next((route for route in in_use if route[1].overlaps(wanted)), None)


def bridge_name(guest: str) -> str:
    """Return the name of a guest's bridge; an interface's name has at most 15 characters."""
    return "ag" + hashlib.sha256(guest.encode()).hexdigest()[:8]


def candidates(name: str) -> list[ipaddress.IPv4Network]:
    """Return the /24 networks to try for this guest: a walk through 10.64.0.0/10 that starts at the name's hash."""
    start = int.from_bytes(hashlib.sha256(name.encode()).digest()[:2], "big")
    networks = []
    for step in range(TRIES):
        third = (start + step * 257) % (64 * 256)
        networks.append(ipaddress.IPv4Network(f"10.{64 + third // 256}.{third % 256}.0/24"))
    return networks


def choose(
    name: str, asked: str, remembered: str, in_use: list[tuple[str, ipaddress.IPv4Network]]
) -> ipaddress.IPv4Network:
    """Return the guest's network: the one asked for, the one it had, or the first free candidate.

    Raises:
        Taken: the fixed choice overlaps a route, is not a /24, or no candidate is free.
    """
    fixed = asked or remembered
    if not fixed:
        for network in candidates(name):
            if clash(network, in_use) is None:
                return network
        raise Taken("argos_guest_subnet: no free network found below 10.64.0.0/10; name one, such as 192.168.77.0/24")
    try:
        network = ipaddress.IPv4Network(fixed)
    except ValueError as problem:
        raise Taken(
            f"argos_guest_subnet: {fixed!r} is no IPv4 network ({problem}); use one like 10.77.0.0/24"
        ) from None
    if network.prefixlen != 24:
        raise Taken(f"argos_guest_subnet: {network} is a /{network.prefixlen}; a /24 is wanted, such as 10.77.0.0/24")
    taken_by = clash(network, in_use)
    if taken_by:
        interface, other = taken_by
        advice = "name another one" if asked else "run `make down`, then `make up`, to get another one"
        raise Taken(
            f"argos_guest_subnet: {network} is taken: this machine already routes {other} through {interface}; {advice}"
        )
    return network


def uplink_mtu(text: str) -> int:
    """Return the MTU in bytes for the bridge: that of the default route's interface, at most Ethernet's 1500."""
    for line in text.splitlines()[1:]:
        fields = line.split()
        if len(fields) >= 8 and int(fields[1], 16) == 0 and int(fields[7], 16) == 0:
            return min(1500, int(Path(f"/sys/class/net/{fields[0]}/mtu").read_text(encoding="ascii")))
    return 1500


def nameservers(texts: list[str]) -> list[str]:
    """Return the IPv4 name servers of the first resolv.conf that names one a guest can reach: none on the loopback."""
    for text in texts:
        words = [line.split() for line in text.splitlines()]
        named = [word[1] for word in words if len(word) > 1 and word[0] == "nameserver" and ":" not in word[1]]
        usable = [address for address in named if not ipaddress.IPv4Address(address).is_loopback]
        if usable:
            return usable[:3]
    return []


def port_in_use(table: str, port: int, state: str) -> bool:
    """Say whether /proc/net/{tcp,udp}'s text has a socket on this port that is not bound to the loopback only."""
    for line in table.splitlines()[1:]:
        fields = line.split()
        address, _unused, local_port = fields[1].rpartition(":")
        loopback = address.endswith("7F") if len(address) == 8 else address == "00000000000000000000000001000000"
        if fields[3] == state and int(local_port, 16) == port and not loopback:
            return True
    return False


def check_ports(publish: list[str]) -> None:
    """See that no service of this machine already answers on a port that is to lead to the guest.

    Raises:
        Taken: one does.
    """
    for entry in publish:
        number, _unused, protocol = entry.partition("/")
        state = LISTENING if protocol == "tcp" else UNCONNECTED
        for table in (Path(f"/proc/net/{protocol}"), Path(f"/proc/net/{protocol}6")):
            if table.exists() and port_in_use(table.read_text(encoding="ascii"), int(number), state):
                raise Taken(
                    f"argos_guest_publish: {entry} is taken: a service of this machine listens on it; stop it first"
                )


def main() -> int:
    """Print the plan."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("name")
    parser.add_argument("--subnet", default="")
    parser.add_argument("--remembered", default="")
    parser.add_argument("--publish", default="")
    options = parser.parse_args()
    try:
        check_ports([entry for entry in options.publish.split(",") if entry])
        text = ROUTES.read_text(encoding="ascii")
        network = choose(
            options.name, options.subnet, options.remembered, routes_in_use(text, bridge_name(options.name))
        )
    except (OSError, Taken) as problem:
        print(problem, file=sys.stderr)
        return 1
    print(
        json.dumps(
            {
                "subnet": str(network),
                "gateway": str(network[1]),
                "address": str(network[10]),
                "prefix": network.prefixlen,
                "mtu": uplink_mtu(text),
                "nameservers": nameservers([file.read_text(encoding="utf-8") for file in RESOLVERS if file.exists()]),
            }
        )
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
