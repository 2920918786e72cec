"""What one call declares."""

from __future__ import annotations

import msgspec

from argos.edge.model.host import Host
from argos.edge.model.settings import Settings
from argos.edge.model.tls import Certificate, DnsProvider
from argos.edge.model.waf import WafPolicy

MAX_RESOURCES = 1000
"""Resources of one kind; of hosts there may be more."""


class Document(msgspec.Struct, frozen=True):
    """One call's worth of declaration. Each kind of argos.edge.decode.kinds has its list here."""

    owner: str = ""
    prune: bool = False
    settings: Settings = Settings()
    hosts: tuple[Host, ...] = ()
    certificates: tuple[Certificate, ...] = ()
    dns_providers: tuple[DnsProvider, ...] = ()
    waf_policies: tuple[WafPolicy, ...] = ()
