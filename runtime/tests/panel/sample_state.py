"""An edge in use, with long names and every state that a page can show; for pages, not for what they do."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

LONG = "a-very-long-name-of-an-application-that-somebody-published-here.department.home.example"
LONG_WORD = "aWordOfAnErrorThatGoesOnAndOnWithoutASingleSpaceInWhichABrowserCouldBreakIt" * 2
HOSTILE = "</code><script>alert(1)</script>"
ISSUER = "https://127.0.0.1:9/application/o/a-provider-with-a-long-path-that-nobody-answers"
EXCLUSION = {"id": 942100, "parameter": "ARGS:q", "path": "/save", "methods": ["POST"]}

_RESOURCES: list[tuple[str, str, dict[str, Any], str]] = [
    ("settings", "edge", {"panel_host": "argos.home.example", "parent_domain": "home.example"}, "ansible"),
    (
        "settings",
        "crowdsec",
        {"enabled": True, "whitelist": [{"value": "2001:db8:1234::/48", "reason": "my office"}]},
        "ansible",
    ),
    ("waf_policy", "strict", {"name": "strict", "paranoia": 3, "exclusions": [EXCLUSION]}, "ansible"),
    ("waf_policy", "watching", {"name": "watching", "mode": "detect"}, "panel"),
    (
        "host",
        "photos.home.example",
        {
            "name": "photos.home.example",
            "upstreams": [{"url": "http://10.0.0.5:2342"}],
            "auth": {"required": True},
            "waf": {"mode": "block", "exclusions": [EXCLUSION]},
            "rate_limit": {"requests": 100, "window": 60},
        },
        "panel",
    ),
    (
        "host",
        LONG,
        {
            "name": LONG,
            "upstreams": [
                {"url": "https://a-backend-with-a-long-name-number-one.internal.example:8443"},
                {"url": "https://a-backend-with-a-long-name-number-two.internal.example:8443", "weight": 3},
            ],
            "proxy": {"verify_tls": False},
            "auth": {
                "required": True,
                "groups": ["family", "friends"],
                "second_factor": "required",
                "paths": [{"path": "/health", "access": "public"}],
            },
            "waf": {"mode": "policy", "policy": "strict"},
            "lan_only": True,
            "maintenance": {"enabled": True},
            "request_headers": {"set": {"X-Token": {"secret": "header-token"}}},
        },
        "ansible",
    ),
    ("host", "*.apps.home.example", {"name": "*.apps.home.example", "upstreams": [{"url": "http://10.0.0.7:80"}]}, ""),
    (
        "settings",
        "mail",
        {
            "host": "smtp.a-provider-with-a-long-name.example",
            "sender": "argos@home.example",
            "recipients": ["somebody-with-a-long-name@department.home.example"],
            "events": ["login_ban"],
        },
        "ansible",
    ),
    (
        "settings",
        "oidc",
        {
            "name": "A provider with a long name",
            "issuer": ISSUER,
            "client_id": "a-client-with-a-long-name.argos.home.example",
            "client_secret": {"secret": "oidc-client"},
            "auto_provision": True,
            "allowed_groups": ["family"],
        },
        "ansible",
    ),
]
_FINDING = {"severity": "critical", "variable": f"ARGS:{LONG_WORD}", "value": HOSTILE}
_EVENTS: list[dict[str, Any]] = [
    {
        "ts": "2026-11-24T00:12:46Z",
        "host_id": LONG,
        "policy": "strict",
        "mode": "block",
        "client_ip": "2001:db8:aaaa:bbbb:cccc:dddd:eeee:ffff",
        "method": "POST",
        "uri": f"/save/{LONG_WORD}?q={HOSTILE}",
        "rules": [{"id": 942100, "msg": "SQL Injection Attack Detected via libinjection", **_FINDING}],
        "status": 403,
    },
    {"ts": "2026-11-24T01:12:46Z", "host_id": "photos.home.example", "reason": "body_limit", "would_block": True},
    {
        "ts": "2026-11-24T02:12:46Z",
        "host_id": "photos.home.example",
        "method": "POST",
        "uri": "/search?q=1",
        "rules": [{"id": 942100, "msg": "SQL Injection", **_FINDING, "variable": "ARGS:text"}],
    },
]
_REVISIONS = [
    ("superseded", "1 create", ""),
    ("superseded", "rollback to 1: 1 update, 2 delete", ""),
    ("failed", "1 update", f"host/{LONG}: Caddy refused it: {LONG_WORD}"),
]


def fill(execute: Callable[..., object], waf_log: Path) -> dict[str, list[str]]:
    """Write it all into a database and the WAF's log.

    Args:
        execute: takes a statement and its values.
        waf_log: where the runtime reads events.

    Returns:
        For each route with a parameter, addresses of pages that there are.
    """
    for kind, name, spec, owner in _RESOURCES:
        execute("INSERT OR REPLACE INTO resources VALUES (?, ?, ?, ?, 0)", kind, name, json.dumps(spec), owner)
    state = json.dumps({"host": {"photos.home.example": {"spec": _RESOURCES[4][2], "owner": "panel"}}})
    for number, (word, summary, reason) in enumerate(_REVISIONS, 1):
        execute(
            "INSERT INTO revisions (id, state, etag, resources, actor, summary, reason, created_at)"
            " VALUES (?, ?, '', ?, ?, ?, ?, ?)",
            number,
            word,
            state,
            "user:a-person-with-a-long-name@home.example",
            summary,
            reason,
            1_795_000_000 + number,
        )
    execute(
        "INSERT INTO backup_runs (at, state, name, reason, request) VALUES (1795000000, 'failed', '', ?, '')",
        f"No room under /var/lib/argos-backups: {LONG_WORD}",
    )
    execute("INSERT INTO mails (at, event, state, reason) VALUES (1795000000, 'login_ban', 'sent', '')")
    execute("INSERT INTO mails (at, event, state, reason) VALUES (1795000000, 'test', 'failed', ?)", LONG_WORD)
    execute("INSERT INTO notices (at, event, text) VALUES (1795000000, 'login_ban', ?)", HOSTILE)
    execute(
        "INSERT INTO oidc_identities (issuer, subject, user_id, created_at)"
        " SELECT ?, 'of-alice', id, 1795000000 FROM users WHERE username = 'alice'",
        ISSUER,
    )
    lines = [json.dumps(event) for event in _EVENTS]
    waf_log.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return {
        "/hosts/{name}": ["/hosts/photos.home.example", f"/hosts/{LONG}", "/hosts/%2A.apps.home.example"],
        "/waf/{event}": [f"/waf/{hashlib.sha256(line.encode()).hexdigest()[:16]}" for line in lines],
        "/waf": [f"/waf?host={LONG}"],
        "/history/{number}": [f"/history/{number}" for number in range(1, len(_REVISIONS) + 1)],
        "/people/{username}": ["/people/alice", "/people/newcomer"],
        "/decisions": ["/decisions?q=203.0.113.9"],
        "/audit": ["/audit?action=nothing-like-it"],
        "/login": [f"/login?rd=https://{LONG}/"],
    }
