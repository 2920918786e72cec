"""Bans by the operator's own tool, ``cscli``."""

from __future__ import annotations

import json
from typing import Any

from lab.guest import Guest
from lab.namespace import PUBLIC


class CrowdSec:
    """CrowdSec in the guest."""

    def __init__(self, guest: Guest) -> None:
        self._guest = guest

    def ban(self, *, ip: str = "", cidr: str = "", duration: str = "1h") -> None:
        """Ban an address or a range."""
        target = ("--ip", ip) if ip else ("--range", cidr)
        self._guest.run("cscli", "decisions", "add", *target, "--duration", duration, "--reason", "e2e")

    def unban(self, *, ip: str = "", cidr: str = "") -> None:
        """Delete the decisions on exactly this address or range."""
        target = ("--ip", ip) if ip else ("--range", cidr)
        self._guest.run("cscli", "decisions", "delete", *target)

    def decisions(self) -> list[dict[str, Any]]:
        """Return every decision in force."""
        alerts = json.loads(self._guest.run("cscli", "decisions", "list", "-a", "-o", "json") or "null") or []
        return [decision for alert in alerts for decision in alert.get("decisions") or []]

    def forgive(self) -> None:
        """Delete every decision on the suite's own addresses."""
        for network in PUBLIC:
            self._guest.attempt("cscli", "decisions", "delete", "--range", str(network), "--contained")
