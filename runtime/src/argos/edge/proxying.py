"""The handlers that speak to other servers: the gate, the panel, an operator's upstreams."""

from __future__ import annotations

from typing import Any

from argos.edge.context import RenderContext
from argos.edge.inline_ca import inline_certificates
from argos.edge.model import Auth, HeaderValue, HealthCheck, Host, Proxy, SecretName, Upstream, status_ranges
from argos.edge.names import dial_of
from argos.edge.placeholders import operator_text

GATE_ROUTE = "gate"
PUBLIC_PATHS_GATE_ROUTE = "gate_with_public_paths"
HOST_VARIABLE = "argos_host"

_IDENTITY = ("X-Auth-User", "X-Auth-Email", "X-Auth-Name", "X-Auth-Provider")
_FORWARDED = ("For", "Host", "Method", "Proto", "Uri")

# APPSEC: the fields of other sign-on proxies. An application that stood behind one may believe them still; on a
# protected host a client's own are forged by definition.
_OTHERS_IDENTITY = (
    *(f"X-Forwarded-{name}" for name in ("Access-Token", "Email", "Groups", "Preferred-Username", "User")),
    *(f"X-Remote-{name}" for name in ("Email", "Group", "Groups", "Name", "User")),
    *(f"X-Webauth-{name}" for name in ("Email", "Groups", "Name", "Role", "User")),
    *(f"X-Authentik-{name}" for name in ("Email", "Groups", "Name", "Uid", "Username")),
)

# The panel takes 500 connections (serving/serve.py). A client that sends its form a byte a minute would hold one for
# each that it opens, and nobody could sign in: so one has only so many, and what is short reaches the panel whole.
_PANEL_SLOTS = 450
_PANEL_SLOTS_OF_A_CLIENT = 64
_PANEL_BUFFERED = 64 * 1024  # bytes


def gate_named_routes(context: RenderContext) -> dict[str, dict[str, Any]]:
    """The named routes that ask the gate, and go on only on its clear yes (FWD-3).

    What they ask, and what counts as a yes, is said in ``argos-caddy/gate``. They read the host's id from
    a variable that the host's own route sets, and leave who passed in variables. What a client says of itself as
    another sign-on proxy would is taken away there, so that whatever the host's declaration sets stays.

    AUT-2: on a host without public paths an anonymous visitor does not pass, whatever the gate said.
    """
    ask = {"handler": "ask_gate", "socket": context.gate_socket}
    forged = {"handler": "headers", "request": {"delete": list(_OTHERS_IDENTITY)}}
    return {
        GATE_ROUTE: {"handle": [ask, forged]},
        PUBLIC_PATHS_GATE_ROUTE: {"handle": [{**ask, "anonymous": True}, forged]},
    }


def _variable(header: str) -> str:
    return "argos_" + header.removeprefix("X-Auth-").lower()


def gate(auth: Auth) -> dict[str, Any]:
    """The handler that sends a protected host's request through one of :func:`gate_named_routes`."""
    return {"handler": "invoke", "name": PUBLIC_PATHS_GATE_ROUTE if auth.paths else GATE_ROUTE}


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
        "request_buffers": _PANEL_BUFFERED,
        "transport": {
            "protocol": "http",
            "dial_timeout": "2s",
            "response_header_timeout": "2m",
            "keep_alive": {"max_idle_conns_per_host": 32},
        },
        "headers": {"request": {"set": {"Argos-Client-Ip": ["{http.vars.client_ip}"]}}},
    }
    slots = {"handler": "host_slots", "host": "panel", "limit": _PANEL_SLOTS}
    mine: dict[str, Any] = {"handle": [{**slots, "per_client": _PANEL_SLOTS_OF_A_CLIENT}]}
    if auth_proxies:  # one of those asks for all of its visitors
        trusted = {"remote_ip": {"ranges": list(auth_proxies)}}
        routes.append({"match": [trusted], "handle": [slots]})
        mine["match"] = [{"not": [trusted]}]
    routes.append(mine)
    # The admin API takes 16 MiB; the margin is for its own, clearer answer.
    routes.append({"handle": [{"handler": "request_body", "max_size": 17 * 1024 * 1024}, proxy]})
    return routes


def upstream_proxy(
    host: Host, upstreams: tuple[Upstream, ...], proxy: Proxy, context: RenderContext, dropped: frozenset[str]
) -> dict[str, Any]:
    """The last handler of a request to ``host``: one group of upstreams.

    Args:
        host: whose headers are set, and whether identities travel.
        upstreams: the group, of one scheme.
        proxy: how it is spoken to.
        context: for the placeholders of secrets.
        dropped: header names that another host keeps and this one does not.
    """
    dials = [dial_of(upstream.url) for upstream in upstreams]
    handler: dict[str, Any] = {
        "handler": "reverse_proxy",
        "upstreams": [
            {"dial": dial, **({"max_requests": upstream.max_requests} if upstream.max_requests else {})}
            for upstream, (dial, _unused) in zip(upstreams, dials, strict=True)
        ],
        "transport": _transport(proxy, tls=any(tls for _unused, tls in dials), grpc=host.grpc),
        "stream_close_delay": context.linger,
        "headers": {"request": _request_operations(host, proxy, context, dropped)},
    }
    checks: dict[str, Any] = {}
    if len(dials) > 1:
        handler["load_balancing"] = {"selection_policy": _selection(upstreams, proxy), "retries": 2}
        if proxy.passive_check.fails:
            checks["passive"] = {
                "fail_duration": f"{proxy.passive_check.window}s",
                "max_fails": proxy.passive_check.fails,
            }
    if proxy.health_check is not None:
        checks["active"] = _active_check(proxy.health_check, host, proxy)
    if checks:
        handler["health_checks"] = checks
    return handler


def _transport(proxy: Proxy, *, tls: bool, grpc: bool) -> dict[str, Any]:
    timeouts = proxy.timeouts
    transport: dict[str, Any] = {
        "protocol": "http",
        "dial_timeout": f"{timeouts.dial}s",
        "keep_alive": {"max_idle_conns_per_host": 64},
    }
    for name in ("response_header", "read", "write"):
        if seconds := getattr(timeouts, name):
            transport[f"{name}_timeout"] = f"{seconds}s"
    if timeouts.read:
        # The deadline runs on a kept connection while nobody asks: the next request would get what is left of it.
        transport["keep_alive"] = {"enabled": False}
    if tls:
        transport["tls"] = _upstream_tls(proxy)
    if proxy.health_check is not None and not _of_caddy(ranges := status_ranges(proxy.health_check.status)):
        transport |= {"protocol": "health_statuses", "expect": ranges}
    if grpc:
        transport["versions"] = ["2"] if tls else ["h2c"]
    elif proxy.h2c:
        transport["versions"] = ["h2c"]
    return transport


def _upstream_tls(proxy: Proxy) -> dict[str, Any]:
    tls: dict[str, Any] = {}
    if not proxy.verify_tls:
        tls["insecure_skip_verify"] = True
    if proxy.trusted_ca:
        tls["ca"] = {"provider": "inline", "trusted_ca_certs": inline_certificates(proxy.trusted_ca)}
    if proxy.tls_server_name:
        tls["server_name"] = proxy.tls_server_name
    return tls


def _selection(upstreams: tuple[Upstream, ...], proxy: Proxy) -> dict[str, Any]:
    weights = [upstream.weight for upstream in upstreams]
    policy: dict[str, Any] = {"policy": proxy.algorithm}
    if proxy.algorithm == "ip_hash":
        policy = {"policy": "client_ip_hash"}  # Caddy's ip_hash knows the peer alone, who may be a proxy in front
    elif len(set(weights)) > 1:
        policy = {"policy": "weighted_round_robin", "weights": weights}
    if proxy.sticky_cookie:
        policy = {"policy": "cookie", "name": proxy.sticky_cookie, "fallback": policy}
    return policy


def _active_check(check: HealthCheck, host: Host, proxy: Proxy) -> dict[str, Any]:
    active: dict[str, Any] = {
        "uri": check.path,
        "interval": f"{check.interval}s",
        "timeout": f"{check.timeout}s",
        "fails": check.fails,
        "passes": check.passes,
        "expect_status": _expected(check.status),
    }
    if proxy.preserve_host and not host.name.startswith("*"):
        active["headers"] = {"Host": [host.names()[0]]}
    return active


def _expected(status: str) -> int:
    ranges = status_ranges(status)
    if not _of_caddy(ranges):
        return 200  # what the transport makes of those that pass
    low, high = ranges[0]
    return low if low == high else low // 100  # Caddy takes one digit for the whole class


def _of_caddy(ranges: tuple[tuple[int, int], ...]) -> bool:
    """Whether Caddy's own check, which knows one status or one class, can tell."""
    low, high = ranges[0]
    return len(ranges) == 1 and (low == high or (low % 100 == 0 and high == low + 99))


def _request_operations(host: Host, proxy: Proxy, context: RenderContext, dropped: frozenset[str]) -> dict[str, Any]:
    """Set here and not before: a client's ``Connection: X-Auth-User`` strips what stood there earlier (FWD-1)."""
    wanted: dict[str, list[str]] = {"X-Real-Ip": ["{http.vars.client_ip}"]}
    removed = [*host.request_headers.remove, *sorted(dropped)]
    if not proxy.preserve_host:
        wanted["Host"] = ["{http.reverse_proxy.upstream.hostport}"]
    wanted.update({name: [_value(value, context)] for name, value in host.request_headers.set.items()})
    if host.auth.required:
        wanted.update({name: [f"{{http.vars.{_variable(name)}}}"] for name in _IDENTITY})
        if host.auth.paths:  # AUT-2: some frameworks serve the path that these name instead of the request's
            removed += ["X-Original-Url", "X-Rewrite-Url"]
    else:
        removed.append("X-Auth-*")
    operations: dict[str, Any] = {"set": wanted, "delete": [*removed, "Argos-*", "Remote-*"]}
    if host.request_headers.add:
        operations["add"] = {name: [_value(value, context)] for name, value in host.request_headers.add.items()}
    return operations


def _value(value: HeaderValue, context: RenderContext) -> str:
    return context.secret(value.secret) if isinstance(value, SecretName) else operator_text(value)
