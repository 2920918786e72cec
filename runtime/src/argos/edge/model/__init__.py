"""What an operator declares, as typed values; one module for each subject.

A document is decoded once, by :func:`argos.edge.decode.decode_document`, and
only these structs travel inward. Defaults are filled in, so that a stored spec
is complete and two specs are equal exactly when their canonical JSON is.

A stored spec is read back through its struct, so a field may be added at any time with
a default that means what its absence meant; anything else wants a migration of the rows.
"""

from __future__ import annotations

from argos.edge.model.auth import Auth, AuthPath
from argos.edge.model.document import MAX_RESOURCES, Document
from argos.edge.model.host import MAX_HOSTS, Headers, Host
from argos.edge.model.limits import LimitKey, Maintenance, PathLimit, RateLimit
from argos.edge.model.rules import Action, Block, FixedResponse, Forward, Match, Redirect, Rewrite, Rule
from argos.edge.model.settings import (
    SETTINGS,
    CrowdsecSettings,
    EdgeSettings,
    Exempt,
    MailEvent,
    MailSettings,
    OidcSettings,
    SessionSettings,
    Settings,
)
from argos.edge.model.tls import Certificate, DnsProvider, Tls, TlsMode
from argos.edge.model.upstreams import Algorithm, HealthCheck, PassiveCheck, Proxy, Timeouts, Upstream, status_ranges
from argos.edge.model.values import HeaderValue, Presence, Resource, SecretName, canonical, secret_places, spec_of
from argos.edge.model.waf import MAX_WAF_POLICIES, Exclusion, Waf, WafMode, WafPolicy

__all__ = [
    "MAX_HOSTS",
    "MAX_RESOURCES",
    "MAX_WAF_POLICIES",
    "SETTINGS",
    "Action",
    "Algorithm",
    "Auth",
    "AuthPath",
    "Block",
    "Certificate",
    "CrowdsecSettings",
    "DnsProvider",
    "Document",
    "EdgeSettings",
    "Exclusion",
    "Exempt",
    "FixedResponse",
    "Forward",
    "HeaderValue",
    "Headers",
    "HealthCheck",
    "Host",
    "LimitKey",
    "MailEvent",
    "MailSettings",
    "Maintenance",
    "Match",
    "OidcSettings",
    "PassiveCheck",
    "PathLimit",
    "Presence",
    "Proxy",
    "RateLimit",
    "Redirect",
    "Resource",
    "Rewrite",
    "Rule",
    "SecretName",
    "SessionSettings",
    "Settings",
    "Timeouts",
    "Tls",
    "TlsMode",
    "Upstream",
    "Waf",
    "WafMode",
    "WafPolicy",
    "canonical",
    "secret_places",
    "spec_of",
    "status_ranges",
]
