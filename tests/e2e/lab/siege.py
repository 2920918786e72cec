"""Many connections that ask at full rate, and when each request was begun."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from lab.guest import Guest

LONGEST = 300.0  # seconds


@dataclass
class Siege:
    """What the connections were answered: the moment at which each request was begun (monotonic), and the status."""

    answers: list[tuple[float, int]] = field(default_factory=list)

    def begun_after(self, moment: float) -> list[int]:
        """Return the statuses of requests begun after ``moment``."""
        return [status for begun, status in self.answers if begun > moment]

    def begun_before(self, moment: float) -> list[int]:
        """Return the statuses of requests begun before ``moment``."""
        return [status for begun, status in self.answers if begun <= moment]


@contextlib.contextmanager
def siege(guest: Guest, host: str, cookie: str, *, connections: int = 32) -> Iterator[Siege]:
    """Ask for ``host``'s root over kept connections, each as fast as it is answered, until the block ends."""
    found, stop, ready = Siege(), threading.Event(), threading.Semaphore(0)
    request = f"GET / HTTP/1.1\r\nHost: {host}\r\nCookie: {cookie}\r\n\r\n".encode()
    trust = ssl.create_default_context(cafile=str(guest.ca))
    deadline = time.monotonic() + LONGEST

    async def client() -> None:
        reader, writer = await asyncio.open_connection(guest.address, 443, ssl=trust, server_hostname=host)
        ready.release()
        while not stop.is_set() and time.monotonic() < deadline:
            begun = time.monotonic()
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            length = head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0]
            await reader.readexactly(int(length or 0))
            found.answers.append((begun, int(head.split(b" ", 2)[1])))
        writer.close()

    async def all_of_them() -> None:
        await asyncio.gather(*(client() for _unused in range(connections)))

    thread = threading.Thread(target=asyncio.run, args=(all_of_them(),))
    thread.start()
    try:
        for _unused in range(connections):
            assert ready.acquire(timeout=60), "the edge takes no more connections"
        yield found
    finally:
        stop.set()
        thread.join(LONGEST)
