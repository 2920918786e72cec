"""Waiting for the certificate of a host that has just been declared."""

from __future__ import annotations

import contextlib
import socket
import ssl
import time
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

from lab.guest import PATIENCE, Guest
from lab.polling import until


def wait_until_served(guest: Guest, hosts: Iterable[Mapping[str, Any]]) -> None:
    """Wait until each host of a declaration is answered for with a certificate of its own, by Caddy's own authority.

    Caddy makes a new name's certificate once it has answered the load: who asks at once, on a busy machine, meets
    another host's. A host that says how it wants its certificate is left to its test; so is one that never comes.
    """
    trust = ssl.create_default_context(cafile=str(guest.ca))
    names = [host["name"] for host in hosts if "tls" not in host and host.get("state") != "absent"]
    end = time.monotonic() + PATIENCE
    for name in dict.fromkeys(name.replace("*", "any") for name in names):
        with contextlib.suppress(AssertionError):
            until(f"{name} is served", partial(_served, guest, trust, name), within=end - time.monotonic(), every=0.1)


def _served(guest: Guest, trust: ssl.SSLContext, name: str) -> bool:
    plain = socket.create_connection((guest.address, 443), timeout=30)
    with plain, trust.wrap_socket(plain, server_hostname=name):
        return True
