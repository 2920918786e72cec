"""Clients whose addresses look public: a network namespace on the guest's bridge.

CrowdSec exempts private ranges, so a ban can only be proven from an address such as
203.0.113.7. Every address of RFC 5737's TEST-NET-3 and TEST-NET-2, and of half RFC 2544's range, is local in the
namespace, and the guest finds them on its own link. A socket stays in the namespace in
which it was made, so one short thread enters it, makes the socket and ends.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import secrets
import socket
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

from lab.guest import Guest

SCANNERS = IPv4Network("203.0.113.128/25")  # the lower half may hold a package mirror of a closed network
VISITORS = IPv4Network("198.51.100.0/24")
BENCHMARK = IPv4Network("198.18.0.0/16")
NEWCOMERS, GUESSERS = BENCHMARK.subnets()  # so that nobody comes from where another shut themselves out
CHOSEN = 190  # from that number on tests choose addresses of VISITORS themselves
PUBLIC = (SCANNERS, VISITORS, BENCHMARK)
CLONE_NEWNET = 0x40000000  # <linux/sched.h>


class PublicNetwork:
    """The namespace, its cable into the guest's bridge, and the guest's way back."""

    def __init__(self, guest: Guest) -> None:
        self._guest = guest
        self.name = f"argos-e2e-{guest.name}"
        digest = hashlib.sha256(guest.name.encode()).hexdigest()
        self._cable = f"e2e{digest[:8]}"  # an interface's name has 15 bytes
        # Always the same, or the guest sends to the last run's for the 11 s that its neighbour table takes to forget.
        self._mac = f"02:{digest[0:2]}:{digest[2:4]}:{digest[4:6]}:{digest[6:8]}:01"
        self._addresses = self._fresh_addresses()
        self._burnt = iter(secrets.SystemRandom().sample(range(1, GUESSERS.num_addresses - 1), 1000))

    def lay(self) -> None:
        """Make the namespace, removing what an interrupted run left, and tell the guest the way."""
        self.clear()
        ip("netns", "add", self.name)
        ip("link", "add", self._cable, "type", "veth", "peer", "name", "eth0", "netns", self.name)
        ip("-n", self.name, "link", "set", "eth0", "address", self._mac)
        ip("link", "set", self._cable, "master", self._guest.bridge, "up")
        for link in ("lo", "eth0"):
            ip("-n", self.name, "link", "set", link, "up")
        for network in PUBLIC:
            ip("-n", self.name, "route", "add", "local", str(network), "dev", "lo")
        ip("-n", self.name, "addr", "add", f"{VISITORS[1]}/32", "dev", "lo")
        ip("-n", self.name, "route", "add", f"{self._guest.address}/32", "dev", "eth0", "src", str(VISITORS[1]))
        self.tell_the_guest()

    def tell_the_guest(self) -> None:
        """Put both networks on the guest's own link; a reboot forgets them."""
        ip("-n", self.name, "neigh", "flush", "dev", "eth0")  # its link address is another after a boot
        find = f"dev=$(ip -o -4 addr show to {self._guest.address} | awk '{{print $2; exit}}')"
        routes = "".join(f'; ip route replace {network} dev "${{dev%@*}}"' for network in PUBLIC)
        self._guest.shell(find + routes)

    def clear(self) -> None:
        """Remove the namespace; its cable goes with it."""
        subprocess.run(["ip", "netns", "del", self.name], check=False, capture_output=True)
        subprocess.run(["ip", "link", "del", self._cable], check=False, capture_output=True)

    def fresh_address(self) -> str:
        """Return a public-looking address that no earlier test of this run used."""
        return str(next(self._addresses))

    def burnt_address(self) -> str:
        """Return an address for a client that gets itself shut out: the panel's ban outlasts a run by half an hour."""
        return str(GUESSERS[next(self._burnt)])

    def _fresh_addresses(self) -> Iterator[IPv4Address]:
        start = 10 + int.from_bytes(os.urandom(1), "big") % 200  # a rerun should not meet its predecessor's limits
        few = [*list(SCANNERS.hosts())[9:-6], *list(VISITORS.hosts())[9 : CHOSEN - 1]]
        hosts = [*few, *NEWCOMERS.hosts()]
        while True:
            yield from hosts[start:]
            yield from hosts[:start]

    def socket(self, kind: int = socket.SOCK_STREAM, source: str | None = None) -> socket.socket:
        """Return an unconnected IPv4 socket of the namespace, bound to ``source``."""
        with ThreadPoolExecutor(max_workers=1) as thread:
            made = thread.submit(self._make_socket, kind).result()
        if source:
            made.bind((source, 0))
        return made

    def _make_socket(self, kind: int) -> socket.socket:
        with Path(f"/run/netns/{self.name}").open("rb") as namespace:
            if ctypes.CDLL(None, use_errno=True).setns(namespace.fileno(), CLONE_NEWNET) != 0:
                raise OSError(ctypes.get_errno(), f"setns to {self.name}")
        return socket.socket(socket.AF_INET, kind)

    def connect(self, port: int, source: str | None = None, timeout: float = 60) -> socket.socket:
        """Return a TCP connection to a port of the guest."""
        opened = self.socket(socket.SOCK_STREAM, source)
        opened.settimeout(timeout)
        try:
            opened.connect((self._guest.address, port))
        except OSError:
            opened.close()
            raise
        return opened


def ip(*arguments: str) -> None:
    """Run iproute2; raise with its complaint when it fails."""
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"ip {' '.join(arguments)}: {done.stderr.strip()}")
