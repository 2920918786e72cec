"""The declared hosts as a page shows them, and ``/`` and ``/hosts``."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote

import falcon

from argos.api.access import Needs, Person, visit_of
from argos.application import Application
from argos.doctor.finding import Finding
from argos.edge.model import EdgeSettings, Host, WafPolicy
from argos.edge.names import published_name_problem
from argos.edge.plan import State
from argos.edge.waf_policy import effective
from argos.panel import pages

_EXAMINE_EVERY = 10.0  # seconds
_CHECK_WORDS = {
    "ok": ("good", "ok"),
    "warning": ("warn", "warning"),
    "failed": ("bad", "FAILED"),
    "unknown": ("", "unknown"),
}


@dataclass(frozen=True)
class Badge:
    """A short word on how a host is protected; ``kind`` is good, warn, bad or empty."""

    text: str
    kind: str = ""


@dataclass(frozen=True)
class HostView:
    """One host as a page shows it; ``url`` is empty for a wildcard, ``page`` is its own one in the panel."""

    name: str
    url: str
    page: str
    upstreams: tuple[str, ...]
    owner: str
    badges: tuple[Badge, ...]


@dataclass(frozen=True)
class CheckView:
    """One check of the health as a page shows it."""

    name: str
    kind: str
    word: str
    message: str
    advice: str


def host_views(state: State) -> list[HostView]:
    """Every declared host, by name."""
    policies = state.waf_policies()
    return [host_view(host, state, policies) for host in state.hosts()]


def host_view(host: Host, state: State, policies: Mapping[str, WafPolicy]) -> HostView:
    """``host``, which is declared in ``state`` with ``policies``."""
    return HostView(
        name=host.name,
        url="" if host.name.startswith("*.") else url_of(host, state.edge),
        page=f"/hosts/{quote(host.name, safe='')}",
        upstreams=tuple(upstream.url for upstream in host.upstreams),
        owner=state.resources["host", host.name].owner,
        badges=_badges(host, effective(host.waf, policies)),
    )


def url_of(host: Host, edge: EdgeSettings | None) -> str:
    """Where a browser finds ``host``; of a wildcard only the pattern."""
    tls = host.tls or (edge.tls if edge else None)
    return f"{'http' if tls is not None and tls.mode == 'off' else 'https'}://{host.name}/"


def _badges(host: Host, policy: WafPolicy | None) -> tuple[Badge, ...]:
    badges = [Badge("sign-on", "good") if host.auth.required else Badge("public")]
    if host.auth.second_factor == "required":
        badges.append(Badge("second factor", "good"))
    if host.auth.users or host.auth.groups or host.auth.emails or host.auth.domains:
        badges.append(Badge("some people only", "good"))
    if host.auth.paths:
        badges.append(
            Badge(f"{len(host.auth.paths)} public {'path' if len(host.auth.paths) == 1 else 'paths'}", "warn")
        )
    if policy is None:
        badges.append(Badge("WAF off"))
    elif policy.mode == "block":
        badges.append(Badge(f"WAF blocks, level {policy.paranoia}", "good"))
    else:
        badges.append(Badge(f"WAF logs only, level {policy.paranoia}", "warn"))
    if host.rate_limit is not None:
        badges.append(Badge(f"{host.rate_limit.requests} requests in {host.rate_limit.window} s", "good"))
    if host.lan_only:
        badges.append(Badge("private networks only", "good"))
    if host.maintenance.enabled:
        badges.append(Badge("maintenance", "warn"))
    if host.raw_handlers:
        badges.append(Badge("raw Caddy handlers", "warn"))
    return tuple(badges)


class Overview:
    """``GET /``: the hosts with what protects each, and, for an admin, the health."""

    needs = Needs.MEMBER

    def __init__(self, application: Application) -> None:
        self._application = application
        self._lock = threading.Lock()
        self._examine_at = 0.0
        self._findings: list[Finding] = []

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Show them."""
        person = visit_of(req).person
        pages.render(
            resp,
            "overview.html",
            person=person,
            here="/",
            hosts=host_views(self._application.state()),
            checks=self._checks(person),
        )

    def _checks(self, person: Person | None) -> list[CheckView] | None:
        if person is None or not person.may(Needs.ADMIN):
            return None
        return [
            CheckView(finding.name, *_CHECK_WORDS[finding.state], message=finding.message, advice=finding.advice)
            for finding in self._examined()
        ]

    def _examined(self) -> list[Finding]:
        # One examination serves all for a while: it asks other processes, and may wait for them.
        with self._lock:
            if time.monotonic() >= self._examine_at:
                self._findings = self._application.health()
                self._examine_at = time.monotonic() + _EXAMINE_EVERY
            return self._findings


class Hosts:
    """``GET /hosts``: the declared hosts, for an admin: upstream addresses are not every member's business."""

    needs = Needs.ADMIN

    def __init__(self, application: Application) -> None:
        self._application = application

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Show them, and say of which one it was just taken away."""
        removed = (req.get_param("removed") or "")[:260]
        state = self._application.state()
        gone = bool(removed) and published_name_problem(removed) is None and ("host", removed) not in state.resources
        pages.render(
            resp,
            "hosts.html",
            person=visit_of(req).person,
            here="/hosts",
            hosts=host_views(state),
            removed=removed if gone else "",
        )
