"""The leanest routes on which Caddy's own ``reverse_proxy`` asks another service whether a request may go on.

One named route in the place of the gate's: it is how Argos itself asked the gate before it had a handler for
that. Connections stay open, nothing is added but what is decided by, and who passed stays in variables.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bench.stack import PANEL_HOST


def decided_by_panel(socket: Path) -> dict[str, Any]:
    """The route that asks the panel's ``/api/auth/forward``; Caddy is one of its ``auth_proxies``."""
    told = {
        "Argos-Forwarded-Host": "{http.request.hostport}",
        "Argos-Forwarded-Method": "{http.request.method}",
        "Argos-Forwarded-Uri": "{http.request.orig_uri}",
        "Argos-Forwarded-Proto": "{http.request.scheme}",
        "Argos-Client-Ip": "{http.vars.client_ip}",
        "Host": PANEL_HOST,
    }
    identity = {name: f"{{http.reverse_proxy.header.X-Auth-{name.title()}}}" for name in _NAMES}
    return _route(f"unix/{socket}", "/api/auth/forward?", told, 200, identity)


def decided_by_oauth2_proxy(port: int) -> dict[str, Any]:
    """The route that asks oauth2-proxy: its endpoint, its 202, its header names."""
    told = {
        "X-Forwarded-Host": "{http.request.hostport}",
        "X-Forwarded-Method": "{http.request.method}",
        "X-Forwarded-Uri": "{http.request.orig_uri}",
    }
    identity = {
        "user": "{http.reverse_proxy.header.X-Auth-Request-User}",
        "email": "{http.reverse_proxy.header.X-Auth-Request-Email}",
        "name": "{http.reverse_proxy.header.X-Auth-Request-Preferred-Username}",
        "provider": "oauth2-proxy",
    }
    return _route(f"127.0.0.1:{port}", "/oauth2/auth?", told, 202, identity)


_NAMES = ("user", "email", "name", "provider")


def _route(dial: str, uri: str, told: dict[str, str], yes: int, identity: dict[str, str]) -> dict[str, Any]:
    remembered = {"handler": "vars", **{f"argos_{name}": identity[name] for name in _NAMES}}
    no_answer = {"handler": "error", "status_code": 502, "error": "the answer is not one"}
    proxy = {
        "handler": "reverse_proxy",
        "upstreams": [{"dial": dial}],
        "transport": {
            "protocol": "http",
            "dial_timeout": "2s",
            "response_header_timeout": "5s",
            "compression": False,
            "max_response_header_size": 65536,
            "keep_alive": {"max_idle_conns_per_host": 256, "idle_timeout": "1m"},
        },
        "rewrite": {"method": "GET", "uri": uri},
        "headers": {"request": {"set": {name: [value] for name, value in told.items()}}},
        "handle_response": [
            {"match": {"status_code": [yes]}, "routes": [{"handle": [remembered]}]},
            {"match": {"status_code": [302, 401, 403]}, "routes": [{"handle": [{"handler": "copy_response"}]}]},
            {"routes": [{"handle": [no_answer]}]},
        ],
    }
    return {"handle": [proxy]}
