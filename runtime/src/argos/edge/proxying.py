"""The handlers that speak to other servers: the gate, the panel, an operator's upstreams."""

from __future__ import annotations

from typing import Any

from argos.edge.context import RenderContext
from argos.edge.model import Auth, Host, SecretName
from argos.edge.names import dial_of
from argos.edge.placeholders import operator_text

GATE_ROUTE = "gate"
HOST_VARIABLE = "argos_host"
ANONYMOUS_VARIABLE = "argos_anonymous"

_IDENTITY = ("X-Auth-User", "X-Auth-Email", "X-Auth-Name", "X-Auth-Provider")
_FORWARDED = ("For", "Host", "Method", "Proto", "Uri")

# A reload closes WebSockets of the old configuration only after this.
_STREAM_CLOSE_DELAY = "5m"


def gate_route(context: RenderContext) -> dict[str, Any]:
    """The named route that asks the gate, and goes on only on its clear yes (FWD-3).

    One route for all hosts, so that they share its connections; the host's id comes from
    a variable that the host's own route sets.
    """
    proxy = {
        "handler": "reverse_proxy",
        "upstreams": [{"dial": f"unix/{context.gate_socket}"}],
        "transport": {
            "protocol": "http",
            "dial_timeout": "2s",
            "response_header_timeout": "5s",
            "compression": False,
            "max_response_header_size": 65536,
            # facts.md: keepalive off costs 20 to 25 %, so as many stay open as are used at once.
            "keep_alive": {"max_idle_conns_per_host": 256, "idle_timeout": "1m"},
        },
        # The "?" keeps the client's query out of the gate's own; the raw one travels in X-Forwarded-Uri.
        "rewrite": {"method": "GET", "uri": "/verify?"},
        # Set here, after reverse_proxy has obeyed the client's Connection header, which could name them.
        # PERF: every field costs both ends; the gate decides by nothing that is not among these.
        "headers": {
            "request": {
                "set": {
                    "Argos-Host-Id": [f"{{http.vars.{HOST_VARIABLE}}}"],
                    "X-Forwarded-Host": ["{http.request.hostport}"],
                    "X-Forwarded-Method": ["{http.request.method}"],
                    "X-Forwarded-Uri": ["{http.request.orig_uri}"],
                }
            }
        },
        "handle_response": [
            # A public path's anonymous visitor: said so in words, or an empty name is no answer.
            {
                "match": {
                    "status_code": [200],
                    "headers": {**{name: [""] for name in _IDENTITY}, "Argos-Visitor": ["anonymous"]},
                },
                "routes": [
                    {"handle": [{"handler": "vars", ANONYMOUS_VARIABLE: "yes", **dict.fromkeys(_VARIABLES, "")}]}
                ],
            },
            {"match": {"headers": {"X-Auth-User": [""]}}, "routes": [{"handle": [_no_answer()]}]},
            {
                "match": {"status_code": [200], "headers": {**{name: [] for name in _IDENTITY}, "Argos-Visitor": None}},
                "routes": [{"handle": [_remember_identity()]}],
            },
            {
                "match": {"status_code": [302, 401, 403]},
                "routes": [{"handle": [{"handler": "copy_response"}]}],
            },
            # FWD-3: whatever else it says, no.
            {"routes": [{"handle": [_no_answer()]}]},
        ],
    }
    return {"handle": [proxy]}


def _no_answer() -> dict[str, Any]:
    return {"handler": "error", "status_code": 502, "error": "the gate's answer is not one"}


def _remember_identity() -> dict[str, Any]:
    remembered = {_variable(name): f"{{http.reverse_proxy.header.{name}}}" for name in _IDENTITY}
    return {"handler": "vars", **remembered}


def _variable(header: str) -> str:
    return "argos_" + header.removeprefix("X-Auth-").lower()


_VARIABLES = tuple(_variable(name) for name in _IDENTITY)


def gate_routes(auth: Auth) -> list[dict[str, Any]]:
    """Routes that send a protected host's request through :func:`gate_route`.

    AUT-2: on a host without public paths an anonymous visitor does not pass, whatever the gate said.
    """
    routes: list[dict[str, Any]] = [{"handle": [{"handler": "invoke", "name": GATE_ROUTE}]}]
    if not auth.paths:
        routes.append({"match": [{"vars": {ANONYMOUS_VARIABLE: ["yes"]}}], "handle": [_no_answer()]})
    return routes


def panel_routes(context: RenderContext, auth_proxies: tuple[str, ...]) -> list[dict[str, Any]]:
    """Routes of the panel's host. Forwarded headers are believed on one path and from ``auth_proxies`` only (LOG-3)."""
    routes: list[dict[str, Any]] = []
    if auth_proxies:
        copied = {f"Argos-Forwarded-{name}": [f"{{http.request.header.X-Forwarded-{name}}}"] for name in _FORWARDED}
        routes.append(
            {
                "match": [{"path": ["/api/auth/forward"], "remote_ip": {"ranges": list(auth_proxies)}}],
                "handle": [{"handler": "headers", "request": {"set": copied}}],
            }
        )
    proxy = {
        "handler": "reverse_proxy",
        "upstreams": [{"dial": f"unix/{context.panel_socket}"}],
        "transport": {
            "protocol": "http",
            "dial_timeout": "2s",
            "response_header_timeout": "2m",
            "keep_alive": {"max_idle_conns_per_host": 32},
        },
        "headers": {"request": {"set": {"Argos-Client-Ip": ["{http.vars.client_ip}"]}}},
    }
    # The admin API takes 16 MiB; the margin is for its own, clearer answer.
    routes.append({"handle": [{"handler": "request_body", "max_size": 17 * 1024 * 1024}, proxy]})
    return routes


def upstream_proxy(host: Host, context: RenderContext) -> dict[str, Any]:
    """The last handler of a host."""
    dials = [dial_of(upstream.url) for upstream in host.upstreams]
    transport: dict[str, Any] = {
        "protocol": "http",
        "dial_timeout": "5s",
        "response_header_timeout": "5m",
        "keep_alive": {"max_idle_conns_per_host": 64},
    }
    if any(tls for _unused, tls in dials):
        transport["tls"] = {}
    proxy: dict[str, Any] = {
        "handler": "reverse_proxy",
        "upstreams": [{"dial": dial} for dial, _unused in dials],
        "transport": transport,
        "stream_close_delay": _STREAM_CLOSE_DELAY,
        "headers": {"request": _request_operations(host, context)},
    }
    if len(dials) > 1:
        proxy["load_balancing"] = _balancing(host)
        proxy["health_checks"] = {"passive": {"fail_duration": "30s", "max_fails": 3}}
    return proxy


def _balancing(host: Host) -> dict[str, Any]:
    weights = [upstream.weight for upstream in host.upstreams]
    policy: dict[str, Any] = {"policy": "round_robin"}
    if len(set(weights)) > 1:
        policy = {"policy": "weighted_round_robin", "weights": weights}
    return {"selection_policy": policy, "retries": 2}


def _request_operations(host: Host, context: RenderContext) -> dict[str, Any]:
    """Set here and not before: a client's ``Connection: X-Auth-User`` strips what stood there earlier (FWD-1)."""
    wanted: dict[str, list[str]] = {"X-Real-Ip": ["{http.vars.client_ip}"]}
    removed = list(host.request_headers.remove)
    for name, value in host.request_headers.set.items():
        wanted[name] = [context.secret(value.secret) if isinstance(value, SecretName) else operator_text(value)]
    if host.auth.required:
        wanted.update({name: [f"{{http.vars.{_variable(name)}}}"] for name in _IDENTITY})
        if host.auth.paths:  # AUT-2: some frameworks serve the path that these name instead of the request's
            removed += ["X-Original-Url", "X-Rewrite-Url"]
    else:
        removed.append("X-Auth-*")
    return {"set": wanted, "delete": [*removed, "Argos-*", "Remote-*"]}
