"""A few clients that keep asking while something happens to the edge."""

from __future__ import annotations

import contextlib
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import httpx

from lab.threads import running


@dataclass
class Seen:
    """What the clients were answered: status (0: connection lost) to how often, and the first odd ones whole."""

    statuses: Counter[int] = field(default_factory=Counter)
    odd: list[str] = field(default_factory=list)


@contextlib.contextmanager
def asking(ask: Callable[[], httpx.Response], *, clients: int = 3, every: float = 0.01) -> Iterator[Seen]:
    """Ask from several threads until the block ends; 25 minutes at most."""
    seen, stop = Seen(), threading.Event()
    deadline = time.monotonic() + 1500

    def run() -> None:
        while not stop.wait(every) and time.monotonic() < deadline:
            try:
                answer = ask()
                status, detail = answer.status_code, f"{answer.status_code} {answer.text[:120]!r}"
            except httpx.TransportError as error:
                status, detail = 0, repr(error)
            seen.statuses[status] += 1
            if status != 200 and len(seen.odd) < 10:
                seen.odd.append(detail)

    threads = [threading.Thread(target=run) for _unused in range(clients)]
    with running(threads, stop):
        yield seen
