"""When sessions were last seen: the gate's own memory of it, and word of it to the runtime.

The gate never writes to the database. At most once in five minutes per session it sends
the token's SHA-256 as one datagram; the runtime writes last-seen in batches. Its own memory
keeps people from becoming idle while the runtime is stopped.
"""

from __future__ import annotations

import socket
from pathlib import Path

TELL_SECONDS = 300
"""A session is reported at most this often (facts: last-seen at most every 5 min)."""

RETRY_SECONDS = 15
"""A report that was dropped is tried again with the next request after this long."""


class Sight:
    """The last time one session passed, in seconds since the epoch, and when to tell it next."""

    __slots__ = ("at", "tell_at")

    def __init__(self, at: int) -> None:
        self.at = at
        self.tell_at = 0


class Sights:
    """The sights of at most ``limit`` sessions, the least recently decided dropped first."""

    def __init__(self, seen_socket: Path, limit: int = 20_000) -> None:
        self._path = str(seen_socket)
        self.limit = limit
        self._sights: dict[bytes, Sight] = {}
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        self.sent = 0
        self.drops = 0

    def __len__(self) -> int:
        return len(self._sights)

    def last(self, token_hash: bytes) -> int:
        """Return when the gate itself last let this session pass, 0 if it does not remember."""
        sight = self._sights.get(token_hash)
        return 0 if sight is None else sight.at

    def saw(self, token_hash: bytes, now: int) -> Sight:
        """Remember that the session passed now, and tell the runtime if that is due."""
        sight = self._sights.pop(token_hash, None) or Sight(now)
        self._sights[token_hash] = sight
        if len(self._sights) > self.limit:
            del self._sights[next(iter(self._sights))]
        sight.at = now
        if now >= sight.tell_at:
            self.tell(token_hash, sight)
        return sight

    def tell(self, token_hash: bytes, sight: Sight) -> None:
        """Send the one datagram; a full or missing socket is a drop, counted and retried later."""
        try:
            self._socket.sendto(token_hash, self._path)
        except OSError:
            self.drops += 1
            sight.tell_at = sight.at + RETRY_SECONDS
        else:
            self.sent += 1
            sight.tell_at = sight.at + TELL_SECONDS

    def close(self) -> None:
        """Close the sending socket."""
        self._socket.close()
