"""Decoding of a published host."""

from __future__ import annotations

from argos.edge.decode.auth import decode_auth
from argos.edge.decode.headers import decode_headers
from argos.edge.decode.rules import decode_rules
from argos.edge.decode.tls import decode_tls
from argos.edge.decode.waf import decode_waf
from argos.edge.fields import Fields
from argos.edge.model import Host, RateLimit, Upstream
from argos.edge.names import published_name_problem, upstream_problem

MAX_UPSTREAMS = 64


def decode_host(fields: Fields) -> Host:
    """One published host; what is wrong with it goes to ``fields.errors``."""
    host = Host(
        name=fields.text(
            "name",
            limit=255,
            expected="a host name in lower case, such as photos.home.example",
            check=published_name_problem,
        ),
        state=fields.choice("state", ("present", "absent"), "present"),
        upstreams=tuple(
            _upstream(fields.nested(at, member)) for at, member in fields.items("upstreams", limit=MAX_UPSTREAMS)
        ),
        auth=decode_auth(fields.inner("auth")),
        waf=decode_waf(fields.inner("waf")),
        rate_limit=_rate_limit(fields.inner("rate_limit")) if fields.given("rate_limit") else None,
        tls=decode_tls(fields.inner("tls")) if fields.given("tls") else None,
        request_headers=decode_headers(fields.inner("request_headers"), secrets=True),
        response_headers=decode_headers(fields.inner("response_headers"), secrets=False),
        rules=decode_rules(fields),
        access_log=fields.boolean("access_log", True),
    )
    if host.state == "present" and not fields.raw("upstreams") and not fields.raw("rules"):
        fields.wrong("upstreams", "is empty", "at least one upstream, or rules that answer")
    if len({upstream.url.split(":")[0] for upstream in host.upstreams if upstream.url}) > 1:
        fields.wrong("upstreams", "mixes http and https", "one scheme for all upstreams of a host")
    return host


def _upstream(fields: Fields) -> Upstream:
    url = fields.text(
        "url",
        limit=512,
        expected="http://host:port or https://host:port of a server that is not Argos's own",
        check=upstream_problem,
    )
    weight = fields.integer("weight", 1, low=1, high=256)
    fields.finish()
    return Upstream(url.rstrip("/"), weight)


def _rate_limit(fields: Fields) -> RateLimit:
    limit = RateLimit(
        fields.integer("requests", low=1, high=100_000),
        fields.integer("window", low=1, high=3600),
    )
    fields.finish()
    return limit
