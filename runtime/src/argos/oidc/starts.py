"""How many sign-ins one address may begin: a flood drives nobody else's pending sign-in out (DAT-4)."""

from __future__ import annotations

import ipaddress
import threading
from collections import OrderedDict

from argos.clock import Clock
from argos.errors import Unavailable

WINDOW = 600  # seconds
MOST = 60  # of one address, or one IPv6 /64, in a window
ADDRESSES = 10_000  # kept in memory; the longest unseen is forgotten first


class Starts:
    """Counts them in memory: a restart forgets, and the table stays bounded by itself."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._counts: OrderedDict[str, tuple[int, int]] = OrderedDict()

    def __len__(self) -> int:
        """How many addresses are kept."""
        return len(self._counts)

    def count(self, address: str) -> None:
        """Count one more of ``address``.

        Raises:
            Unavailable: it has begun too many.
        """
        now = self._clock.now()
        key = _network(address)
        with self._lock:
            since, count = self._counts.pop(key, (now, 0))
            if now - since >= WINDOW:
                since, count = now, 0
            self._counts[key] = (since, count + 1)
            while len(self._counts) > ADDRESSES:
                self._counts.popitem(last=False)
        if count >= MOST:
            raise Unavailable("Too many sign-ins were begun from your address.", retry_after=since + WINDOW - now)


def _network(address: str) -> str:
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address[:64]
    if parsed.version == 6:
        return str(ipaddress.ip_network(f"{parsed}/64", strict=False)) if "%" not in address else address[:64]
    return str(parsed)
