"""The open connections of the gate: how many, which are idle or too slow, and how they end."""

from __future__ import annotations

from typing import Any

from argos.gate.protocol import GateProtocol
from argos.gate.verifier import CACHED_ANSWERS, Verifier

MOST_CONNECTIONS = 4096
SLOW_HEAD_SECONDS = 10
"""A request that has begun must be whole within this long (slowloris)."""

IDLE_SECONDS = 180
"""Longer than Caddy keeps an idle connection (2 min), so that Caddy closes first and no request meets a closing one."""


class Connections:
    """Every open connection, swept once a second. ``tick`` is the loop's time of the last sweep, in seconds."""

    def __init__(self, verifier: Verifier, tick: float) -> None:
        self.verifier = verifier
        self.tick = tick
        self.stopping = False
        self.accepted = 0
        self.refused = 0
        self._open: set[GateProtocol] = set()

    def __len__(self) -> int:
        return len(self._open)

    def admit(self, protocol: GateProtocol) -> bool:
        """Take a new connection in; False when there are too many."""
        self.accepted += 1
        if len(self._open) >= MOST_CONNECTIONS:
            return False
        self._open.add(protocol)
        return True

    def forget(self, protocol: GateProtocol) -> None:
        """Drop a connection that has ended."""
        self._open.discard(protocol)

    def sweep(self, tick: float) -> None:
        """Close the idle and the slow."""
        self.tick = tick
        for protocol in list(self._open):
            limit = SLOW_HEAD_SECONDS if protocol.in_request or protocol.closing else IDLE_SECONDS
            if tick - protocol.since > limit:
                protocol.end()

    def close_idle(self) -> None:
        """Close the connections on which no request is under way."""
        for protocol in list(self._open):
            if not protocol.in_request:
                protocol.end()

    def abort(self) -> None:
        """Drop every connection at once."""
        for protocol in list(self._open):
            protocol.abort()

    def health(self) -> dict[str, Any]:
        """Return counts and states for ``argos doctor``; nothing in it is secret."""
        verifier = self.verifier
        epoch = verifier.epoch.read()
        database = verifier.store.probe()
        return {
            "status": "ok" if database == "ok" and epoch.fresh else "degraded",
            "database": database,
            "epoch_fresh": epoch.fresh,
            "connections": len(self._open),
            "connections_accepted": self.accepted,
            "connections_refused": self.refused,
            "passed": verifier.passed,
            "denied": verifier.denied,
            "cache_hits": verifier.cache_hits,
            "cached_answers": len(verifier),
            "seen_sent": verifier.sights.sent,
            "seen_dropped": verifier.sights.drops,
            "kept": [
                _kept("connections", len(self._open), MOST_CONNECTIONS),
                _kept("answers", len(verifier), CACHED_ANSWERS),
                _kept("sights", len(verifier.sights), verifier.sights.limit),
            ],
        }


def _kept(name: str, rows: int, bound: int) -> dict[str, Any]:
    """A map of the gate, in the shape of :class:`argos.kept.KeptView` (DAT-4)."""
    return {"name": f"gate: {name}", "kind": "map", "rows": rows, "bound": bound, "swept_at": None}
