"""Render Caddy's JSON from what is declared: a pure function, and the only one that does."""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec

from argos.edge import access_log, client_network, cookies, error_pages, proxying, rate_limits, visitors, waf_policy
from argos.edge.certificates import EVENTS, Named, connection_policies, root_files, secured, tls_app
from argos.edge.context import RenderContext
from argos.edge.host_routes import host_routes
from argos.edge.lapi_address import lapi_url
from argos.edge.model import CrowdsecSettings, Host, Tls
from argos.edge.plan import State
from argos.edge.proxy_presets import proxy_ranges

_TIMEOUTS = {
    "read_header_timeout": "10s",
    "idle_timeout": "2m",
    "max_header_bytes": 32 * 1024,
}


def render(state: State, context: RenderContext, *, fallback: bool = False) -> dict[str, Any]:
    """Caddy's whole configuration for ``state``.

    Args:
        state: what is declared; it may hold nothing at all.
        context: paths and ports of the guest.
        fallback: the variant Caddy starts from when credentials could not be laid out:
            hosts that name a secret answer 503, DNS providers are left out, everything else is as it was.
    """
    hosts = state.hosts()
    edge = state.edge
    default_tls = edge.tls if edge else Tls()
    secure = [host for host in hosts if (host.tls or default_tls).mode != "off"]
    plain = [host for host in hosts if (host.tls or default_tls).mode == "off"]
    panel = edge.panel_host if edge and context.mode == "behind_caddy" else None
    panel_secure = panel is not None and default_tls.mode != "off"
    server = _Server(state, context, fallback)

    certificates = secured(state, with_panel=panel_secure)
    redirected = [name for name, _unused in certificates]
    return {
        # Without this block a load opens TCP 2019; without the mode the socket is 0200.
        "admin": {"listen": f"unix/{context.admin_socket}|0660", "config": {"persist": False}},
        "logging": access_log.logging(context),
        "storage": {"module": "file_system", "root": context.storage_dir},
        "apps": {
            **_crowdsec_app(state.crowdsec, context),
            **waf_policy.app(hosts, state.waf_policies(), context),
            "tls": tls_app(certificates, state, context, fallback=fallback),
            "events": EVENTS,
            # The CA's root is for the operator's devices; the guest's own trust store is left alone.
            "pki": {"certificate_authorities": {"local": {"install_trust": False}}},
            "http": {
                "http_port": context.http_port,
                "https_port": context.https_port,
                "grace_period": context.linger,  # HTTP/3 ends what is still under way then; HTTP/1.1 and 2 let it be
                "servers": {
                    "edge": server.secure(secure, panel if panel_secure else None, certificates),
                    "plain": server.plain(plain, secure, redirected, panel if panel and not panel_secure else None),
                },
            },
        },
    }


class Rendered(NamedTuple):
    """All that Caddy reads of a state: two configurations, and the files that they name by their paths."""

    config: str
    fallback: str
    files: dict[str, str]


def rendered(state: State, context: RenderContext) -> Rendered:
    """What Caddy runs for ``state``, and what it starts from without credentials, both as JSON text."""
    files = root_files(state, context)
    config = msgspec.json.encode(render(state, context)).decode()
    if not state.secret_names():
        return Rendered(config, config, files)  # PERF: the fallback differs only where a secret is named
    return Rendered(config, msgspec.json.encode(render(state, context, fallback=True)).decode(), files)


class _Server:
    """The two servers, which share all but their routes."""

    def __init__(self, state: State, context: RenderContext, fallback: bool) -> None:
        self._edge, self._crowdsec, self._policies = state.edge, state.crowdsec, state.waf_policies()
        self._context, self._fallback = context, fallback
        self._hsts = context.mode == "behind_caddy"

    def secure(self, hosts: list[Host], panel: str | None, names: list[Named]) -> dict[str, Any]:
        routes = self._entrance(hosts) + self._panel(panel, hsts=self._hsts)
        routes += _host_map(self._hosts(hosts, scheme="https"))
        return {
            **self._base(self._context.https_port, hosts, hsts=self._hsts),
            "protocols": ["h1", "h2", "h3"],
            # Early data may be replayed, and its peer's address is not yet proven.
            "allow_0rtt": False,
            "strict_sni_host": True,
            "tls_connection_policies": connection_policies(names, self._edge),
            "routes": [*routes, _misdirected()],
        }

    def plain(self, hosts: list[Host], secure: list[Host], redirected: list[str], panel: str | None) -> dict[str, Any]:
        routes = self._entrance(hosts) + self._panel(panel, hsts=False)
        # A wildcard without TLS does not answer on port 80 for a name that has TLS (ING-6): a name of its own wins.
        to_https = self._to_https()
        quiet = {name: [*_quiet(host), to_https] for host in secure for name in host.names()}
        moved = {name: quiet.get(name, [to_https]) for name in redirected}
        routes += _host_map({**moved, **self._hosts(hosts, scheme="http")})
        return {
            **self._base(self._context.http_port, hosts, hsts=False),
            "protocols": ["h1"],
            "routes": [*routes, _misdirected()],
        }

    def _base(self, port: int, hosts: list[Host], *, hsts: bool) -> dict[str, Any]:
        base: dict[str, Any] = {
            "listen": [f":{port}"],
            **_TIMEOUTS,
            # Which names have certificates and which are redirected is said by us alone.
            "automatic_https": {"disable": True},
            "logs": access_log.server_logs(),
            "errors": error_pages.routes(hsts=hsts),
            "trusted_proxies_strict": 1,
        }
        if self._edge and self._edge.trusted_proxies:
            base["trusted_proxies"] = {"source": "static", "ranges": proxy_ranges(self._edge.trusted_proxies)}
        kept = sorted({name.lower() for host in hosts for name in host.keep_headers})
        if under := [name for name in kept if "_" in name]:
            base["expected_underscore_headers"] = under
        if dotted := [name for name in kept if "." in name]:
            base["expected_dot_headers"] = dotted
        if hosts:
            # What all hosts do alike stands here once: a thousand times over it would be half of what Caddy loads.
            base["named_routes"] = {cookies.NAMED_ROUTE: cookies.strip_request_route()}
        if any(host.auth.required for host in hosts):
            base["named_routes"] |= proxying.gate_named_routes(self._context)
        return base

    def _entrance(self, hosts: list[Host]) -> list[dict[str, Any]]:
        """What every request passes first, whatever its host (FWD-1, ING-3)."""
        strip = {
            "handler": "headers",
            "request": {
                # "_" and "." spellings are dropped by Caddy itself, before any handler.
                "delete": ["Argos-*", "X-Auth-*", "Remote-*", "Forwarded"],
                "set": {"X-Request-Id": ["{http.request.uuid}"]},
            },
        }
        # Trailers are fields too, which "headers" does not see; an upstream may merge them into its headers.
        handlers: list[dict[str, Any]] = [strip, {"handler": "drop_trailers"}]
        if self._crowdsec.enabled:
            handlers.append({"handler": "crowdsec"})
        if any(rate_limits.by_address(host) for host in hosts):
            handlers.append(client_network.handler())
        return [{"handle": handlers}]

    def _panel(self, name: str | None, *, hsts: bool) -> list[dict[str, Any]]:
        if name is None or self._edge is None:
            return []
        routes = proxying.panel_routes(self._context, self._edge.auth_proxies)
        if hsts:
            routes.insert(0, _hsts_route())
        return [
            {
                "match": [{"host": [name]}],
                "handle": [{"handler": "subroute", "routes": routes}],
                "terminal": True,
            }
        ]

    def _hosts(self, hosts: list[Host], *, scheme: str) -> dict[str, list[dict[str, Any]]]:
        """The routes of each name, a host's second one among them."""
        kept = frozenset(name.lower() for host in hosts for name in host.keep_headers)
        hsts = scheme == "https" and self._hsts
        routes = {}
        for host in hosts:
            name, *others = host.names()
            routes[name] = host_routes(
                host, self._policies, self._context, hsts=hsts, fallback=self._fallback, kept=kept
            )
            port = self._context.https_port if scheme == "https" else self._context.http_port
            for other in others:
                moved = visitors.to_other_name(name, scheme, port)
                routes[other] = [*_quiet(host), *([_hsts_route()] if hsts else []), moved]
        return routes

    def _to_https(self) -> dict[str, Any]:
        port = "" if self._context.https_port == 443 else f":{self._context.https_port}"
        location = f"https://{{http.request.host}}{port}{{http.request.uri}}"
        return {"handle": [{"handler": "static_response", "status_code": 308, "headers": {"Location": [location]}}]}


def _host_map(routes: dict[str, list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """Routes by host name: Caddy tries a flat list one by one, and the last of a thousand would wait for it."""
    return [{"handle": [{"handler": "host_map", "hosts": routes}]}] if routes else []


def _quiet(host: Host) -> list[dict[str, Any]]:
    """What keeps requests to a name of ``host`` out of the access log where nothing else of the host runs."""
    return [] if host.access_log else [{"handle": [{"handler": "vars", **access_log.switch(logged=False)}]}]


def _hsts_route() -> dict[str, Any]:
    wanted = {"Strict-Transport-Security": [error_pages.HSTS]}
    return {"handle": [{"handler": "headers", "response": {"deferred": True, "set": wanted}}]}


def _misdirected() -> dict[str, Any]:
    """An unknown Host gets 421 (RFC 9110 §15.5.20), never Caddy's empty 200."""
    return {"handle": [{"handler": "error", "status_code": 421, "error": "no such host here"}]}


def _crowdsec_app(crowdsec: CrowdsecSettings, context: RenderContext) -> dict[str, Any]:
    if not crowdsec.enabled:
        return {}
    return {
        "crowdsec": {
            "api_url": lapi_url(crowdsec.lapi_url, context.lapi_url),
            "api_key": context.credential("crowdsec-bouncer-key"),
            "interval": "10s",
            "state_file": context.crowdsec_state,
            **({"allow": [exempt.value for exempt in crowdsec.whitelist]} if crowdsec.whitelist else {}),
        }
    }
