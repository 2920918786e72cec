"""The kinds of named resources: the one table that planning, rendering, the API and the modules go by.

A new kind is a struct in :mod:`argos.edge.model` (with ``name``, ``state`` and
``secret_names()``), its list in :class:`~argos.edge.model.Document`, a decoder here, and one
line in :data:`KINDS`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from argos.edge.decode.host import decode_host
from argos.edge.decode.tls import decode_certificate, decode_dns_provider
from argos.edge.decode.waf import decode_waf_policy
from argos.edge.fields import Fields
from argos.edge.model import (
    MAX_HOSTS,
    MAX_RESOURCES,
    MAX_WAF_POLICIES,
    SETTINGS,
    Certificate,
    DnsProvider,
    Document,
    Host,
    Resource,
    WafPolicy,
)


@dataclass(frozen=True)
class Kind:
    """One kind of resource.

    Attributes:
        name: in changes, the audit and errors: ``host``.
        field: of the document: ``hosts``.
        struct: its type.
        decode: reads one from its fields and notes every error, a function of the fields alone; unknown fields
            are noted by the caller.
        limit: how many a document may name.
    """

    name: str
    field: str
    struct: Any
    decode: Callable[[Fields], Resource]
    limit: int

    @property
    def words(self) -> str:
        """Its name in a sentence."""
        return self.name.replace("_", " ")

    def declared(self, document: Document) -> tuple[Resource, ...]:
        """Those of ``document``."""
        resources: tuple[Resource, ...] = getattr(document, self.field)
        return resources


# What others build on stands before them: whose fault a refusal is, is looked for in this order.
KINDS = {
    kind.name: kind
    for kind in (
        # The next kinds go here, above the hosts that use them.
        Kind("certificate", "certificates", Certificate, decode_certificate, MAX_RESOURCES),
        Kind("dns_provider", "dns_providers", DnsProvider, decode_dns_provider, 100),
        Kind("waf_policy", "waf_policies", WafPolicy, decode_waf_policy, MAX_WAF_POLICIES),
        Kind("host", "hosts", Host, decode_host, MAX_HOSTS),
    )
}


def struct_of(kind: str, name: str) -> Any:
    """The struct of the resource ``kind/name``, None for what this version does not know."""
    if kind == "settings":
        return SETTINGS.get(name)
    return KINDS[kind].struct if kind in KINDS else None
