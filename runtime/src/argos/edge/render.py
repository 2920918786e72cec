"""Render Caddy's JSON from what is declared: a pure function, and the only one that does."""

from __future__ import annotations

from typing import Any

from argos.edge import access_log, client_network, error_pages, proxying, waf_policy
from argos.edge.certificates import connection_policies, tls_app
from argos.edge.context import RenderContext
from argos.edge.host_routes import dispatch, host_route
from argos.edge.model import CrowdsecSettings, EdgeSettings, Host, Tls
from argos.edge.plan import State

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
            hosts that name a secret answer 503, everything else is as it was.
    """
    hosts = state.hosts()
    edge = state.edge
    default_tls = edge.tls if edge else Tls()
    secure = [host for host in hosts if (host.tls or default_tls).mode != "off"]
    plain = [host for host in hosts if (host.tls or default_tls).mode == "off"]
    panel = edge.panel_host if edge and context.mode == "behind_caddy" else None
    panel_secure = panel is not None and default_tls.mode != "off"
    server = _Server(edge, state.crowdsec, context, fallback)

    certificates = [(host.name, host.tls or default_tls) for host in secure]
    if panel and panel_secure:
        certificates.append((panel, default_tls))
    redirected = sorted(name for name, _unused in certificates)
    return {
        # Without this block a load opens TCP 2019; without the mode the socket is 0200.
        "admin": {"listen": f"unix/{context.admin_socket}|0660", "config": {"persist": False}},
        "logging": access_log.logging(context),
        "storage": {"module": "file_system", "root": context.storage_dir},
        "apps": {
            **_crowdsec_app(state.crowdsec, context),
            **waf_policy.app(hosts, context),
            "tls": tls_app(certificates),
            # The CA's root is for the operator's devices; the guest's own trust store is left alone.
            "pki": {"certificate_authorities": {"local": {"install_trust": False}}},
            "http": {
                "http_port": context.http_port,
                "https_port": context.https_port,
                "grace_period": "1m",
                "servers": {
                    "edge": server.secure(secure, panel if panel_secure else None),
                    "plain": server.plain(plain, redirected, panel if panel and not panel_secure else None),
                },
            },
        },
    }


class _Server:
    """The two servers, which share all but their routes."""

    def __init__(
        self, edge: EdgeSettings | None, crowdsec: CrowdsecSettings, context: RenderContext, fallback: bool
    ) -> None:
        self._edge, self._crowdsec, self._context, self._fallback = edge, crowdsec, context, fallback
        self._hsts = context.mode == "behind_caddy"

    def secure(self, hosts: list[Host], panel: str | None) -> dict[str, Any]:
        routes = self._entrance(hosts) + self._panel(panel, hsts=self._hsts) + self._hosts(hosts, hsts=self._hsts)
        return {
            **self._base(self._context.https_port, hosts, hsts=self._hsts),
            "protocols": ["h1", "h2", "h3"],
            # Early data may be replayed, and its peer's address is not yet proven.
            "allow_0rtt": False,
            "strict_sni_host": True,
            "tls_connection_policies": connection_policies(),
            "routes": [*routes, _misdirected()],
        }

    def plain(self, hosts: list[Host], redirected: list[str], panel: str | None) -> dict[str, Any]:
        routes = self._entrance(hosts) + self._panel(panel, hsts=False)
        # A wildcard without TLS must not answer on port 80 for a name that has TLS, the panel's among them (ING-6).
        for wild in (False, True):
            routes += self._hosts([host for host in hosts if host.name.startswith("*") == wild], hsts=False)
            if names := [name for name in redirected if name.startswith("*") == wild]:
                routes.append(self._to_https(names))
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
            "logs": access_log.server_logs(host.name for host in hosts if not host.access_log),
            "errors": error_pages.routes(hsts=hsts),
            "trusted_proxies_strict": 1,
        }
        if self._edge and self._edge.trusted_proxies:
            base["trusted_proxies"] = {"source": "static", "ranges": list(self._edge.trusted_proxies)}
        if any(host.auth.required for host in hosts):
            base["named_routes"] = {proxying.GATE_ROUTE: proxying.gate_route(self._context)}
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
        if any(host.rate_limit for host in hosts):
            handlers.append(client_network.handler())
        return [{"handle": handlers}]

    def _panel(self, name: str | None, *, hsts: bool) -> list[dict[str, Any]]:
        if name is None or self._edge is None:
            return []
        routes = proxying.panel_routes(self._context, self._edge.auth_proxies)
        if hsts:
            wanted = {"Strict-Transport-Security": [error_pages.HSTS]}
            routes.insert(0, {"handle": [{"handler": "headers", "response": {"deferred": True, "set": wanted}}]})
        return [
            {
                "match": [{"host": [name]}],
                "handle": [{"handler": "subroute", "routes": routes}],
                "terminal": True,
            }
        ]

    def _hosts(self, hosts: list[Host], *, hsts: bool) -> list[dict[str, Any]]:
        return dispatch([host_route(host, self._context, hsts=hsts, fallback=self._fallback) for host in hosts])

    def _to_https(self, names: list[str]) -> dict[str, Any]:
        port = "" if self._context.https_port == 443 else f":{self._context.https_port}"
        return {
            "match": [{"host": names}],
            "handle": [
                {
                    "handler": "static_response",
                    "status_code": 308,
                    "headers": {"Location": [f"https://{{http.request.host}}{port}{{http.request.uri}}"]},
                }
            ],
            "terminal": True,
        }


def _misdirected() -> dict[str, Any]:
    """An unknown Host gets 421 (RFC 9110 §15.5.20), never Caddy's empty 200."""
    return {"handle": [{"handler": "error", "status_code": 421, "error": "no such host here"}]}


def _crowdsec_app(crowdsec: CrowdsecSettings, context: RenderContext) -> dict[str, Any]:
    if not crowdsec.enabled:
        return {}
    return {
        "crowdsec": {
            "api_url": crowdsec.lapi_url,
            "api_key": context.credential("crowdsec-bouncer-key"),
            "interval": "10s",
            "state_file": context.crowdsec_state,
        }
    }
