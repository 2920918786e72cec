"""What of ``before`` and ``after`` may stand in the record in clear: an allowlist of field names.

Numbers, yes and no, and nothing pass. A text passes below a field that is named here;
any other stands as ``[masked 1a2b3c]``, whose digits change with the value under the
audit key, so that a change of it shows and the value does not. A field that nobody has
thought of is thus masked until somebody has.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Mapping
from typing import Any

# Fields of accounts, sessions, providers, keys, and of whatever is declared.
SHOWN = frozenset(
    {
        "absolute_hours",
        "access",
        "access_key_id",
        "action",
        "actor",
        "add_prefix",
        "address",
        "admin_claim",
        "admin_values",
        "algorithm",
        "allow",
        "allow_anyone",
        "allowed_domains",
        "allowed_emails",
        "allowed_groups",
        "assurance",
        "auth",
        "auth_proxies",
        "auto_provision",
        "body_limit",
        "broken",
        "by",
        "ca",
        "ca_root",
        "certificate",
        "challenge",
        "changed",
        "cidr",
        "client_id",
        "compression",
        "content_type",
        "country",
        "custom_rules",
        "decisions",
        "delivered",
        "dial",
        "disabled",
        "dns_provider",
        "domains",
        "dropped",
        "duration",
        "edge",
        "email",
        "email_verified",
        "emails",
        "enabled",
        "events",
        "exclusions",
        "expires_at",
        "file",
        "format",
        "from",
        "group_map",
        "groups",
        "groups_claim",
        "grpc",
        "h2c",
        "has_password",
        "host",
        "host_header",
        "hosted_zone_id",
        "hosts",
        "id",
        "interval",
        "issuer",
        "kind",
        "lan_networks",
        "lan_only",
        "lapi_url",
        "location",
        "maintenance",
        "message",
        "method",
        "methods",
        "min_version",
        "mode",
        "must_change_password",
        "name",
        "oidc",
        "origin",
        "outcome",
        "owner",
        "panel_host",
        "parameter",
        "paranoia",
        "parent_domain",
        "path",
        "path_exact",
        "paths",
        "permissions",
        "policy",
        "port",
        "preserve_host",
        "preset",
        "priority",
        "problem",
        "propagation_timeout",
        "provider",
        "range",
        "read",
        "reason",
        "recipients",
        "redirect_to",
        "region",
        "remote_ip",
        "remove",
        "request",
        "required",
        "resolvers",
        "response_header",
        "retry_after",
        "revision",
        "role",
        "rows",
        "rule",
        "scenario",
        "scope",
        "scopes",
        "second_factor",
        "secret",
        "security",
        "sender",
        "session",
        "settings",
        "sha256",
        "size",
        "source",
        "state",
        "status",
        "step",
        "sticky_cookie",
        "strip_prefix",
        "subject",
        "tag",
        "target",
        "timeout",
        "tls",
        "tls_server_name",
        "to",
        "too_long",
        "trailing_slash",
        "trusted_ca",
        "trusted_proxies",
        "type",
        "until",
        "upstreams",
        "url",
        "used_by",
        "user",
        "username",
        "users",
        "vault",
        "version",
        "waf",
        "waf_policy",
        "whitelist",
        "write",
        "www",
    }
)
# Shown only as a member of what stands in the field beside it: elsewhere such a name may hold anything.
SHOWN_BELOW = {"whitelist": frozenset({"value"})}
# Their fields' names are the operator's own: header names and the like. Only a secret's name passes below them.
FREE = frozenset({"set", "add", "header", "query", "raw_handlers", "body"})


def masked(key: bytes, value: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of ``value`` with every text masked that is not allowed.

    Args:
        key: the audit key.
        value: JSON-able.
    """
    return _members(key, value, frozenset())


def _members(key: bytes, value: Mapping[str, Any], own: frozenset[str]) -> dict[str, Any]:
    """``own`` are the fields that are shown in this place besides."""
    return {str(name): _field(key, str(name), item, own) for name, item in value.items()}


def _field(key: bytes, name: str, item: Any, own: frozenset[str]) -> Any:
    shown, own_below = name in SHOWN or name in own, SHOWN_BELOW.get(name, frozenset())
    return _below(key, item, shown=shown, free=name in FREE, own=own_below)


def _below(key: bytes, item: Any, *, shown: bool, free: bool, own: frozenset[str] = frozenset()) -> Any:
    if isinstance(item, str):
        return item if shown and not free else _mask(key, item)
    if isinstance(item, list | tuple):
        return [_below(key, one, shown=shown, free=free, own=own) for one in item]
    if isinstance(item, Mapping):
        return _mapping(key, item, free=free, own=own)
    return item if item is None or isinstance(item, bool | int | float) else _mask(key, str(item))


def _mapping(key: bytes, item: Mapping[str, Any], *, free: bool, own: frozenset[str]) -> dict[str, Any]:
    if not free:
        return _members(key, item, own)
    return {str(name): _below(key, one, shown=False, free=not _is_reference(one)) for name, one in item.items()}


def _is_reference(item: Any) -> bool:
    """Whether it is what a declaration holds in a value's place."""
    return isinstance(item, Mapping) and set(item) == {"secret"} and isinstance(item["secret"], str)


def _mask(key: bytes, text: str) -> str:
    if not text:
        return ""
    covered = json.dumps(text).encode()
    return f"[masked {hmac.digest(key, b'argos audit mask' + bytes(1) + covered, 'sha256').hex()[:6]}]"
