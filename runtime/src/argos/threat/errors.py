"""What can go wrong between the runtime and CrowdSec. All of them leave known bans in force at the edge."""

from __future__ import annotations

from argos.errors import Unavailable

REMEDY = "run 'sudo argos crowdsec credentials', or the playbook with --tags crowdsec,runtime"


class LapiUnavailable(Unavailable):
    """LAPI is dead, slow, confused or hostile: nothing it says is used."""


class CredentialsStale(Unavailable):
    """LAPI answers and refuses the runtime's credentials: waiting mends nothing, new ones do."""

    def __init__(self, what: str) -> None:
        super().__init__(f"CrowdSec's credentials are stale: {what}; {REMEDY}", retry_after=60)
