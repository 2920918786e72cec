"""Decoding of upstreams, and of how they are spoken to."""

from __future__ import annotations

import re

from argos.edge.fields import Fields
from argos.edge.header_rules import header_value_problem
from argos.edge.inline_ca import pem_problem
from argos.edge.model import HealthCheck, PassiveCheck, Proxy, Timeouts, Upstream, status_ranges
from argos.edge.names import host_name_problem, upstream_problem

MAX_UPSTREAMS = 64
MAX_CA = 64 * 1024

_STATUSES = re.compile(r"[1-5][0-9][0-9](?:-[1-5][0-9][0-9])?(?:,[1-5][0-9][0-9](?:-[1-5][0-9][0-9])?){0,9}")
_COOKIE = re.compile(r"[A-Za-z0-9_-]{1,64}")
_HEALTH_PATH = re.compile(r"/[A-Za-z0-9._~!$&'()*+,;=:@%/?-]*")


def decode_upstreams(fields: Fields) -> tuple[Upstream, ...]:
    """The member ``upstreams``: one scheme for all."""
    members = fields.items("upstreams", limit=MAX_UPSTREAMS)
    upstreams = tuple(_upstream(fields.nested(place, member)) for place, member in members)
    if len({upstream.url.split(":")[0] for upstream in upstreams if upstream.url}) > 1:
        fields.wrong("upstreams", "mixes http and https", "one scheme for all upstreams of a group")
    return upstreams


def decode_proxy(fields: Fields, upstreams: tuple[Upstream, ...]) -> Proxy:
    """The member ``proxy`` of the group ``upstreams``."""
    timeouts = fields.inner("timeouts")
    passive = fields.inner("passive_check")
    proxy = Proxy(
        algorithm=fields.choice("algorithm", ("round_robin", "least_conn", "ip_hash", "random"), "round_robin"),
        sticky_cookie=fields.text(
            "sticky_cookie", "", limit=64, expected="a cookie's name that is not Argos's", check=_cookie_problem
        ),
        health_check=_health_check(fields.inner("health_check")) if fields.given("health_check") else None,
        passive_check=PassiveCheck(
            passive.integer("fails", 3, low=0, high=100), passive.integer("window", 30, low=1, high=3600)
        ),
        timeouts=Timeouts(
            timeouts.integer("dial", 5, low=1, high=60),
            timeouts.integer("response_header", 300, low=0, high=3600),
            timeouts.integer("read", 0, low=0, high=86400),
            timeouts.integer("write", 0, low=0, high=86400),
        ),
        verify_tls=fields.boolean("verify_tls", True),
        trusted_ca=fields.text(
            "trusted_ca", "", limit=MAX_CA, expected="certificates in PEM and nothing else", check=pem_problem
        ).strip(),
        tls_server_name=fields.text(
            "tls_server_name", "", limit=253, expected="a name such as app.home.example", check=_server_name_problem
        ),
        preserve_host=fields.boolean("preserve_host", True),
        h2c=fields.boolean("h2c", False),
    )
    timeouts.finish()
    passive.finish()
    fields.finish()
    _together(fields, proxy, upstreams)
    return proxy


def _together(fields: Fields, proxy: Proxy, upstreams: tuple[Upstream, ...]) -> None:
    tls = any(upstream.url.startswith("https:") for upstream in upstreams)
    weighted = len({upstream.weight for upstream in upstreams}) > 1
    if weighted and (proxy.algorithm != "round_robin" or proxy.sticky_cookie):
        fields.wrong("algorithm", f"is {proxy.algorithm} with weights", "round_robin without a sticky cookie")
    if upstreams and not tls:
        for name, given in (
            ("verify_tls", not proxy.verify_tls),
            ("trusted_ca", proxy.trusted_ca),
            ("tls_server_name", proxy.tls_server_name),
        ):
            if given:
                fields.wrong(name, "is given for upstreams without TLS", "https:// upstreams")
    if tls and proxy.h2c:
        fields.wrong("h2c", "is true for https:// upstreams", "http:// upstreams; TLS negotiates HTTP/2 automatically")
    if not proxy.verify_tls and proxy.trusted_ca:
        fields.wrong("trusted_ca", "is given while verify_tls is false", "one or the other")


def _upstream(fields: Fields) -> Upstream:
    url = fields.text(
        "url",
        limit=512,
        expected="http://host:port or https://host:port of a server that is not Argos's own",
        check=upstream_problem,
    )
    weight = fields.integer("weight", 1, low=1, high=256)
    most = fields.integer("max_requests", 0, low=0, high=100_000)
    fields.finish()
    return Upstream(url.rstrip("/"), weight, most)


def _health_check(fields: Fields) -> HealthCheck:
    check = HealthCheck(
        fields.text("path", "/", limit=512, expected="a path such as /health", check=_path_problem),
        fields.integer("interval", 30, low=5, high=300),
        fields.integer("timeout", 5, low=1, high=30),
        fields.integer("fails", 2, low=1, high=10),
        fields.integer("passes", 2, low=1, high=10),
        fields.text(
            "status",
            "200-299",
            limit=79,
            expected="a status such as 204, a range such as 200-299, or up to 10 of them with commas between",
            check=_status_problem,
        ),
    )
    fields.finish()
    return check


def _path_problem(text: str) -> str | None:
    return None if _HEALTH_PATH.fullmatch(text) and not header_value_problem(text) else f"is {text[:80]!r}"


def _status_problem(text: str) -> str | None:
    if _STATUSES.fullmatch(text) and all(low <= high for low, high in status_ranges(text)):
        return None
    return f"is {text!r}"


def _cookie_problem(text: str) -> str | None:
    if not text or (_COOKIE.fullmatch(text) and not re.match(r"(__Host-|__Secure-)?argos_", text, re.IGNORECASE)):
        return None
    return f"is {text!r}"


def _server_name_problem(text: str) -> str | None:
    return host_name_problem(text) if text else None
