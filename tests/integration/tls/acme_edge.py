"""An edge with an ACME server of its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from acme import Pebble
from argos.edge.certificate_status import CertificateStatus, certificate_statuses
from argos.edge.revisions import read_state
from edge_rig import EchoUpstream, Edge


@dataclass
class AcmeEdge:
    """An edge whose ``auto`` hosts go to a pebble of its own."""

    edge: Edge
    pebble: Pebble
    echo: EchoUpstream

    @property
    def tls(self) -> dict[str, Any]:
        """What a host says to have its certificate from that CA."""
        return {"mode": "auto", "ca": self.pebble.directory, "ca_root": self.pebble.authority.pem}

    def host(self, name: str, **tls: Any) -> dict[str, Any]:
        """A host in front of the echo upstream."""
        return {"name": name, "upstreams": [{"url": self.echo.url}], "tls": {**self.tls, **tls}}

    def statuses(self) -> dict[str, CertificateStatus]:
        """What the runtime tells of the certificates, by name."""
        edge = self.edge
        with edge.storage.read() as connection:
            state = read_state(connection)
        now = edge.storage.clock.now()
        found = certificate_statuses(state, edge.admin, edge.scrubber, now, with_panel=True)
        return {status.name: status for status in found}
