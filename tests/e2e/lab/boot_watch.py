"""What the edge answers from the first moment of a boot on."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from lab.guest import Guest
from lab.threads import running
from lab.visitor import read_all, status_of


@dataclass
class Watch:
    """Statuses by client while the guest boots; 0 where nothing answered."""

    stranger: Counter[int] = field(default_factory=Counter)
    member: Counter[int] = field(default_factory=Counter)
    public: Counter[int] = field(default_factory=Counter)


def ask_directly(guest: Guest, host: str, cookie: str = "", timeout: float = 3) -> int:
    """Ask from the controller's own address, since a boot forgets the way to the public ones; 0: no answer."""
    context = ssl.create_default_context(cafile=str(guest.ca))
    extra = f"Cookie: {cookie}\r\n" if cookie else ""
    request = f"GET /boot HTTP/1.1\r\nHost: {host}\r\nX-Auth-User: mallory\r\n{extra}Connection: close\r\n\r\n"
    try:
        with (
            socket.create_connection((guest.address, 443), timeout=timeout) as plain,
            context.wrap_socket(plain, server_hostname=host) as tls,
        ):
            tls.sendall(request.encode())
            return status_of(read_all(tls))
    except OSError:
        return 0


@contextlib.contextmanager
def watching(guest: Guest, *, protected: str, public: str, cookie: str) -> Iterator[Watch]:
    """Ask all the time, as a stranger, as a member, and for a public host, until the block ends."""
    seen, stop = Watch(), threading.Event()
    asked = ((seen.stranger, protected, ""), (seen.member, protected, cookie), (seen.public, public, ""))

    def run(counts: Counter[int], host: str, sent: str) -> None:
        while not stop.wait(0.1):
            counts[ask_directly(guest, host, sent)] += 1

    threads = [threading.Thread(target=run, args=one) for one in asked]
    with running(threads, stop):
        yield seen
