"""Decoding of a published host."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from argos.edge.decode.auth import decode_auth
from argos.edge.decode.headers import decode_headers, decode_keep_headers
from argos.edge.decode.limits import decode_maintenance, decode_path_limits, decode_rate_limit
from argos.edge.decode.raw import decode_raw_handlers
from argos.edge.decode.rules import decode_rules
from argos.edge.decode.tls import decode_tls
from argos.edge.decode.upstreams import decode_proxy, decode_upstreams
from argos.edge.decode.values import networks
from argos.edge.decode.waf import decode_waf
from argos.edge.fields import Fields
from argos.edge.model import Auth, Headers, Host, Maintenance, Proxy, Waf
from argos.edge.names import published_name_problem

T = TypeVar("T")

MAX_BODY_LIMIT = 1 << 40


def decode_host(fields: Fields) -> Host:
    """One published host; what is wrong with it goes to ``fields.errors``."""
    upstreams = decode_upstreams(fields)
    unrestricted = fields.boolean("raw_unrestricted", False)
    host = Host(
        name=fields.text(
            "name",
            limit=255,
            expected="a host name in lower case, such as photos.home.example",
            check=published_name_problem,
        ),
        state=fields.choice("state", ("present", "absent"), "present"),
        upstreams=upstreams,
        proxy=_part(fields, "proxy", lambda inner: decode_proxy(inner, upstreams), Proxy()),
        auth=_part(fields, "auth", decode_auth, Auth()),
        waf=_part(fields, "waf", decode_waf, Waf()),
        rate_limit=decode_rate_limit(fields),
        path_limits=decode_path_limits(fields),
        max_concurrent=fields.integer("max_concurrent", 512, low=1, high=100_000),
        max_concurrent_per_client=fields.integer("max_concurrent_per_client", 256, low=0, high=100_000),
        body_limit=fields.integer("body_limit", 0, low=0, high=MAX_BODY_LIMIT),
        tls=_part(fields, "tls", decode_tls, None),
        request_headers=_part(fields, "request_headers", lambda inner: decode_headers(inner, secrets=True), Headers()),
        response_headers=_part(
            fields, "response_headers", lambda inner: decode_headers(inner, secrets=False), Headers()
        ),
        keep_headers=decode_keep_headers(fields),
        rules=decode_rules(fields),
        www=fields.choice("www", ("none", "add", "remove"), "none"),
        trailing_slash=fields.choice("trailing_slash", ("keep", "add", "remove"), "keep"),
        lan_only=fields.boolean("lan_only", False),
        lan_networks=networks(fields, "lan_networks"),
        maintenance=_part(fields, "maintenance", decode_maintenance, Maintenance()),
        compression=fields.boolean("compression", False),
        grpc=fields.boolean("grpc", False),
        access_log=fields.boolean("access_log", True),
        raw_handlers=decode_raw_handlers(fields, unrestricted=unrestricted),
        raw_unrestricted=unrestricted,
    )
    _together(fields, host)
    return host


def _part(fields: Fields, name: str, decode: Callable[[Fields], T], default: T) -> T:
    # PERF: a thousand hosts leave most parts out, and each would be read member by member.
    return decode(fields.inner(name)) if fields.given(name) else default


def _together(fields: Fields, host: Host) -> None:
    answers = fields.raw("upstreams") or fields.raw("rules") or fields.raw("raw_handlers")
    if host.state == "present" and not answers:
        fields.wrong("upstreams", "is empty", "at least one upstream, or rules that answer")
    if host.www != "none" and host.name.startswith(("www.", "*.")):
        fields.wrong("www", f"is {host.www} for {host.name!r}", "the name without www, and no wildcard")
    if host.lan_networks and not host.lan_only:
        fields.wrong("lan_networks", "is given while lan_only is false", "lan_only: true beside it")
    if host.grpc and host.compression:
        fields.wrong("compression", "is true for a gRPC host", "false: gRPC compresses its messages itself")
    if host.raw_unrestricted and not host.raw_handlers:
        fields.wrong("raw_unrestricted", "is true without raw_handlers", "false")
