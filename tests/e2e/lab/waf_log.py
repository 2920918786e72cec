"""The WAF's log in the guest, read from a mark on."""

from __future__ import annotations

import json
from typing import Any

from lab.guest import Guest

PATH = "/var/log/argos-caddy/waf.log"


class WafLog:
    """Events written since this object was made."""

    def __init__(self, guest: Guest) -> None:
        self._guest = guest
        self._start = int(guest.shell(f"stat -c %s {PATH} 2>/dev/null || echo 0"))

    def events(self, host: str) -> list[dict[str, Any]]:
        """Return the events of one host."""
        text = self._guest.shell(f"tail -c +{self._start + 1} {PATH} 2>/dev/null || true")
        whole = text[: text.rfind("\n") + 1]  # the last line may be half written
        lines = [json.loads(line) for line in whole.split("\n") if line.startswith("{")]
        return [line for line in lines if host in json.dumps(line)]
