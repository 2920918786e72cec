"""Each field of a host: declared, and a real Caddy behaves so."""

from __future__ import annotations

import gzip
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from argos.errors import Invalid
from edge_rig import EchoUpstream, Edge, Gate
from ports import free_port
from private_upstreams import TlsUpstream
from waiting import until

HOST = "open.home.example"
NETWORK = {"trusted_proxies": ["127.0.0.0/8"]}
"""The test is the proxy in front, and names the client."""


def declare(edge: Edge, echo: EchoUpstream, **more: Any) -> None:
    """One host with what a test adds."""
    edge.apply([{"name": HOST, "upstreams": [{"url": echo.url}], **more}], edge=NETWORK)


def rule(action: dict[str, Any], priority: int = 1, **match: Any) -> dict[str, Any]:
    """One rule."""
    return {"priority": priority, "match": match, "action": action}


def client(address: str) -> str:
    """The header that makes the test a client at ``address``."""
    return f"X-Forwarded-For: {address}\r\n"


@pytest.fixture
def second() -> Iterator[EchoUpstream]:
    """Another upstream."""
    with EchoUpstream() as upstream:
        yield upstream


# Upstreams -----------------------------------------------------------------------------------------------------------


def test_weights_share_out_the_requests(edge: Edge, echo: EchoUpstream, second: EchoUpstream) -> None:
    upstreams = [{"url": echo.url, "weight": 3}, {"url": second.url, "weight": 1}]
    declare(edge, echo, upstreams=upstreams)
    for _unused in range(8):
        assert edge.ask(HOST).status == 200
    assert (echo.requests, second.requests) == (6, 2)


def test_ip_hash_goes_by_the_clients_real_address(edge: Edge, echo: EchoUpstream, second: EchoUpstream) -> None:
    upstreams = [{"url": echo.url}, {"url": second.url}]
    declare(edge, echo, upstreams=upstreams, proxy={"algorithm": "ip_hash"})
    for _unused in range(4):
        assert edge.ask(HOST, headers=client("203.0.113.7")).status == 200
    assert sorted((echo.requests, second.requests)) == [0, 4], "one client, one upstream"
    for last in range(1, 30):
        edge.ask(HOST, headers=client(f"203.0.113.{last}"))
    assert min(echo.requests, second.requests) > 0, "and other clients come to the other"


@pytest.mark.parametrize("algorithm", ["round_robin", "least_conn", "random"])
def test_every_algorithm_uses_every_upstream(
    edge: Edge, echo: EchoUpstream, second: EchoUpstream, algorithm: str
) -> None:
    upstreams = [{"url": echo.url}, {"url": second.url}]
    declare(edge, echo, upstreams=upstreams, proxy={"algorithm": algorithm})
    for _unused in range(30):
        edge.ask(HOST)
    assert min(echo.requests, second.requests) > 0


def test_a_sticky_cookie_keeps_a_client_at_its_upstream(edge: Edge, echo: EchoUpstream, second: EchoUpstream) -> None:
    upstreams = [{"url": echo.url}, {"url": second.url}]
    declare(edge, echo, upstreams=upstreams, proxy={"sticky_cookie": "kept_at"})
    cookie = (edge.ask(HOST).one("Set-Cookie") or "").split(";")[0]
    assert cookie.startswith("kept_at=")
    for _unused in range(5):
        edge.ask(HOST, headers=f"Cookie: {cookie}\r\n")
    assert sorted((echo.requests, second.requests)) == [0, 6]


@pytest.mark.parametrize(("status", "well"), [("200-299", [204, 200]), ("204,300-309", [204, 301])])
def test_an_active_check_takes_an_upstream_out_and_brings_it_back(
    edge: Edge, echo: EchoUpstream, second: EchoUpstream, status: str, well: list[int]
) -> None:
    second.statuses["/health"], later = well
    echo.statuses["/health"], echo.statuses["/odd"], second.statuses["/odd"] = 500, 418, 418
    check = {"path": "/health", "interval": 5, "fails": 1, "passes": 1, "status": status}
    upstreams = [{"url": echo.url}, {"url": second.url}]
    declare(edge, echo, upstreams=upstreams, proxy={"health_check": check, "passive_check": {"fails": 0}})
    until(lambda: "/health" in echo.paths and "/health" in second.paths)
    until(lambda: asked_of(edge, echo, 4) == 0)
    assert HOST in echo.hosts, "the check names the host"
    assert edge.ask(HOST, "/odd").status == 418, "what passes a check is no matter of what visitors get"
    echo.statuses["/health"] = later
    until(lambda: asked_of(edge, echo, 4) > 0)


def asked_of(edge: Edge, upstream: EchoUpstream, requests: int) -> int:
    """How many of some requests one upstream got."""
    before = upstream.paths.count("/counted")
    for _unused in range(requests):
        edge.ask(HOST, "/counted")
    return upstream.paths.count("/counted") - before


def test_a_dead_upstream_is_left_out_after_failed_requests(edge: Edge, echo: EchoUpstream) -> None:
    upstreams = [{"url": f"http://127.0.0.1:{free_port()}"}, {"url": echo.url}]
    declare(edge, echo, upstreams=upstreams, proxy={"passive_check": {"fails": 1, "window": 30}})
    assert [edge.ask(HOST).status for _unused in range(6)] == [200] * 6
    assert echo.requests == 6


def test_an_upstream_gets_no_more_requests_at_once_than_it_may(edge: Edge, echo: EchoUpstream) -> None:
    declare(edge, echo, upstreams=[{"url": echo.url, "max_requests": 1}])
    with under_way(edge, echo):
        assert edge.ask(HOST).status == 503
    until(lambda: edge.ask(HOST).status == 200)  # Caddy counts an answered request for a moment still


@contextmanager
def under_way(edge: Edge, echo: EchoUpstream, host: str = HOST) -> Iterator[None]:
    """A request that waits in the upstream meanwhile."""
    echo.held.clear()
    waiting = threading.Thread(target=edge.ask, args=(host, "/held"))
    before = echo.paths.count("/held")
    waiting.start()
    until(lambda: echo.paths.count("/held") > before)
    try:
        yield
    finally:
        echo.held.set()
        waiting.join(60)


def test_tls_of_upstreams_is_checked_trusted_or_left_alone(edge: Edge, echo: EchoUpstream) -> None:
    with TlsUpstream("app.home.example") as upstream:
        upstreams = [{"url": upstream.url}]
        declare(edge, echo, upstreams=upstreams)
        assert edge.ask(HOST).status == 502, "nobody knows this authority"
        declare(edge, echo, upstreams=upstreams, proxy={"verify_tls": False})
        assert edge.ask(HOST).received().method == "GET"
        named = {"trusted_ca": upstream.ca, "tls_server_name": "app.home.example"}
        declare(edge, echo, upstreams=upstreams, proxy=named)
        assert edge.ask(HOST).received().method == "GET"
        declare(edge, echo, upstreams=upstreams, proxy={**named, "tls_server_name": "other.home.example"})
        assert edge.ask(HOST).status == 502, "the certificate is of another name"


def test_the_clients_host_is_kept_or_the_upstreams_is_sent(edge: Edge, echo: EchoUpstream) -> None:
    declare(edge, echo)
    assert edge.ask(HOST).received().all("Host") == [HOST]
    declare(edge, echo, proxy={"preserve_host": False})
    received = edge.ask(HOST).received()
    assert received.all("Host") == [echo.url.removeprefix("http://")]
    assert received.all("X-Forwarded-Host") == [HOST]


def test_a_slow_upstream_is_given_up_after_its_time(edge: Edge, echo: EchoUpstream) -> None:
    declare(edge, echo, proxy={"timeouts": {"response_header": 1}})
    echo.held.clear()
    try:
        started = time.monotonic()
        assert edge.ask(HOST, "/held").status == 504
        assert time.monotonic() - started > 0.9
    finally:
        echo.held.set()


# Rules ---------------------------------------------------------------------------------------------------------------


def test_a_rule_forwards_to_other_upstreams(edge: Edge, echo: EchoUpstream, second: EchoUpstream) -> None:
    action = {"type": "forward", "upstreams": [{"url": second.url}], "proxy": {"preserve_host": False}}
    declare(edge, echo, rules=[rule(action, path=["/api/*"])], request_headers={"set": {"X-Told": "yes"}})
    received = edge.ask(HOST, "/api/x?y=1", "Cookie: argos_session=x; theirs=1\r\nX-Auth-User: root\r\n").received()
    assert (received.path, received.all("X-Told"), received.all("Cookie")) == ("/api/x?y=1", ["yes"], ["theirs=1"])
    assert received.all("Host") == [second.url.removeprefix("http://")]
    assert received.all("X-Auth-User") == []
    assert edge.ask(HOST, "/other").status == 200
    assert (echo.requests, second.requests) == (1, 1)


@pytest.mark.parametrize(
    ("action", "asked", "seen"),
    [
        ({"path": "/new"}, "/old/x?y=%26", "/new?y=%26"),
        ({"strip_prefix": "/old"}, "/old/a%20b?y", "/a%20b?y"),
        ({"add_prefix": "/new"}, "/old/x?y=1&z", "/new/old/x?y=1&z"),
        ({"strip_prefix": "/old", "add_prefix": "/new/"}, "/old/x", "/new/x"),
    ],
)
def test_a_rule_rewrites_and_no_later_rule_acts(
    edge: Edge, echo: EchoUpstream, action: dict[str, str], asked: str, seen: str
) -> None:
    rules = [rule({"type": "rewrite", **action}, path=["/old/*"]), rule({"type": "block"}, 2)]
    declare(edge, echo, rules=rules)
    assert edge.ask(HOST, asked).received().path == seen
    assert edge.ask(HOST, "/else").status == 403


@pytest.mark.parametrize(
    ("match", "asked", "not_asked"),
    [
        ({"method": ["DELETE"]}, {"method": "DELETE"}, {"method": "GET"}),
        ({"method": ["delete"]}, {"method": "dElEtE"}, {"method": "PUT"}),
        ({"header": {"X-Key": ["a", "b*"]}}, {"headers": "X-Key: bc\r\n"}, {"headers": "X-Key: c\r\n"}),
        ({"query": {"k": ["1"]}}, {"path": "/?a=2&k=1"}, {"path": "/?k=2"}),
        ({"path_exact": ["/a"]}, {"path": "/a"}, {"path": "/a/b"}),
        ({"remote_ip": ["203.0.113.0/24"]}, {"headers": client("203.0.113.9")}, {"headers": client("198.51.100.9")}),
        ({"path": ["/a*"], "method": ["GET"]}, {"path": "/ab"}, {"path": "/ab", "method": "PUT"}),
    ],
)
def test_a_rule_acts_when_all_its_conditions_hold(
    edge: Edge, echo: EchoUpstream, match: dict[str, Any], asked: dict[str, str], not_asked: dict[str, str]
) -> None:
    declare(edge, echo, rules=[rule({"type": "fixed_response", "status": 299, "body": "matched"}, **match)])
    assert edge.ask(HOST, **asked).status == 299
    assert edge.ask(HOST, **not_asked).status in (200, 501)


def test_a_wildcard_tells_its_hosts_apart(edge: Edge, echo: EchoUpstream) -> None:
    block = rule({"type": "block"}, host_header=["b.home.example", "b.home.example"])
    wild = {"name": "*.home.example", "upstreams": [{"url": echo.url}], "rules": [block]}
    own = {"name": "own.home.example", "rules": [rule({"type": "fixed_response", "body": "own"})]}
    edge.apply([wild, own])
    assert edge.ask("a.home.example").status == 200
    assert edge.ask("b.home.example").status == 403
    assert edge.ask("own.home.example").body == b"own"
    assert edge.ask("a.b.home.example", sni="a.home.example").status == 421


# Headers -------------------------------------------------------------------------------------------------------------


@pytest.mark.threat("SEC-3")
def test_headers_are_set_added_and_removed_and_a_value_may_be_a_secret(edge: Edge, echo: EchoUpstream) -> None:
    from edge_rig import ACTOR

    edge.secrets.set(ACTOR, "api-token", "s3cret-value")
    declare(
        edge,
        echo,
        request_headers={
            "set": {"X-Set": "1", "Authorization": {"secret": "api-token"}},
            "add": {"X-Many": "ours"},
            "remove": ["X-Gone"],
        },
        response_headers={"set": {"X-Set": "2"}, "add": {"Vary": "Ours"}, "remove": ["X-Powered-By"]},
    )
    answer = edge.ask(HOST, "/answer?x-powered-by=php", "X-Many: theirs\r\nX-Gone: 1\r\nX-Set: theirs\r\n")
    received = answer.received()
    assert received.all("Authorization") == ["s3cret-value"]
    assert (received.all("X-Set"), received.all("X-Gone")) == (["1"], [])
    assert received.all("X-Many") == ["theirs", "ours"]
    assert (answer.all("X-Set"), answer.all("X-Powered-By"), answer.all("Vary")) == (["2"], [], ["Ours"])
    assert "s3cret-value" not in str(edge.admin.config())


@pytest.mark.threat("FWD-1")
def test_a_header_with_an_underscore_is_kept_for_the_host_that_needs_it(edge: Edge, echo: EchoUpstream) -> None:
    other = {"name": "other.home.example", "upstreams": [{"url": echo.url}]}
    keeps = {"name": HOST, "upstreams": [{"url": echo.url}], "keep_headers": ["api_key", "my.app"]}
    edge.apply([keeps, other])
    sent = "api_key: 1\r\nmy.app: 2\r\nx_auth_user: root\r\nany_other: 3\r\n"
    received = edge.ask(HOST, headers=sent).received()
    assert (received.all("api_key"), received.all("my.app")) == (["1"], ["2"])
    assert not {"x_auth_user", "any_other"} & received.names()
    assert not {"api_key", "my.app"} & edge.ask("other.home.example", headers=sent).received().names()


# Who gets there ------------------------------------------------------------------------------------------------------


def test_the_other_name_of_www_is_redirected(edge: Edge, echo: EchoUpstream) -> None:
    serves = [{"url": echo.url}]
    edge.apply(
        [
            {"name": "blog.home.example", "upstreams": serves, "www": "remove"},
            {"name": "shop.home.example", "upstreams": serves, "www": "add"},
        ]
    )
    port = edge.https_port
    for asked, serving in (("www.blog", "blog"), ("shop", "www.shop")):
        moved = edge.ask(f"{asked}.home.example", "/a%2Fb?c=%26")
        assert (moved.status, moved.one("Location")) == (308, f"https://{serving}.home.example:{port}/a%2Fb?c=%26")
        assert moved.one("Strict-Transport-Security")
        assert edge.ask(f"{serving}.home.example").status == 200
        plain = edge.ask(f"{asked}.home.example", "/x", plain=True)
        assert plain.one("Location") == f"https://{asked}.home.example:{port}/x"


def test_a_trailing_slash_is_added_or_removed(edge: Edge, echo: EchoUpstream) -> None:
    declare(edge, echo, trailing_slash="add")
    moved = edge.ask(HOST, "/a%2Fb?c=1")
    assert (moved.status, moved.one("Location")) == (308, "/a%2Fb/?c=1")
    assert edge.ask(HOST, "//evil.example/a").one("Location") == "/evil.example/a/"
    assert edge.ask(HOST, "/a.css").status == edge.ask(HOST, "/a/").status == 200
    assert edge.ask(HOST, "/a", method="PUT", body=b"1").status == 200
    declare(edge, echo, trailing_slash="remove")
    assert edge.ask(HOST, "/a/").one("Location") == "/a"
    assert edge.ask(HOST, "/").status == 200


def test_lan_only_goes_by_the_clients_real_address(edge: Edge, echo: EchoUpstream) -> None:
    declare(edge, echo, lan_only=True, lan_networks=["100.64.0.0/10"])
    for inside in ("192.168.1.7", "10.9.8.7", "172.16.0.1", "fd00::1", "100.64.0.9"):
        assert edge.ask(HOST, headers=client(inside)).status == 200, inside
    for outside in ("203.0.113.9", "172.32.0.1", "2001:db8::1", "192.168.1.7, 203.0.113.9"):
        assert edge.ask(HOST, headers=client(outside)).status == 403, outside
    assert echo.requests == 5


def test_maintenance_is_a_page_for_all_but_the_allowed(edge: Edge, echo: EchoUpstream) -> None:
    page = {"enabled": True, "text": "Back <soon> {env.HOME}\nat 8", "retry_after": 90, "allow": ["192.168.1.0/24"]}
    declare(edge, echo, maintenance=page, auth={"required": True})
    shown = edge.ask(HOST, headers=client("203.0.113.9"))
    assert (shown.status, shown.one("Retry-After")) == (503, "90")
    assert b"Back &lt;soon&gt; {env.HOME}<br>at 8" in shown.body
    assert edge.ask(HOST, headers=client("192.168.1.7")).status == 502, "on to the gate, which is not there"
    declare(edge, echo, maintenance={**page, "enabled": False})
    assert edge.ask(HOST).status == 200


# Limits --------------------------------------------------------------------------------------------------------------


def test_a_larger_body_is_refused(edge: Edge, echo: EchoUpstream) -> None:
    declare(edge, echo, body_limit=1000, waf={"mode": "block"})
    kind = "Content-Type: application/octet-stream\r\n"
    assert edge.ask(HOST, method="PUT", body=b"x" * 1000, headers=kind).received().length == 1000
    assert edge.ask(HOST, method="PUT", body=b"x" * 1001, headers=kind).status == 413
    chunked = f"{kind}Transfer-Encoding: chunked\r\n"
    head = f"PUT / HTTP/1.1\r\nHost: {HOST}\r\n{chunked}Connection: close\r\n\r\n"
    body = b"400\r\n" + b"x" * 1024 + b"\r\n0\r\n\r\n"
    assert edge.raw(head.encode() + body, HOST).status == 413


@pytest.mark.threat("ING-5")
@pytest.mark.parametrize(
    ("limit", "mine", "others"),
    [
        ({}, client("203.0.113.1"), client("203.0.113.2")),
        ({}, client("2001:db8::1"), client("2001:db8:0:1::1")),
        ({"key": "header", "header": "X-Api-Key"}, "X-Api-Key: a\r\n", "X-Api-Key: b\r\n"),
    ],
)
def test_a_limit_counts_what_it_is_told_to(
    edge: Edge, echo: EchoUpstream, limit: dict[str, str], mine: str, others: str
) -> None:
    declare(edge, echo, rate_limit={"requests": 2, "window": 60, **limit})
    assert [edge.ask(HOST, headers=mine).status for _unused in range(3)] == [200, 200, 429]
    assert edge.ask(HOST, headers=others).status == 200


def test_a_global_limit_counts_all_and_a_limit_on_paths_only_those(edge: Edge, echo: EchoUpstream) -> None:
    limits = [
        {"path": ["/login*"], "requests": 1, "window": 60},
        {"path": ["/all"], "requests": 2, "window": 60, "key": "global"},
    ]
    declare(edge, echo, path_limits=limits, rate_limit={"requests": 9, "window": 60})
    assert [edge.ask(HOST, "/login", client("203.0.113.1")).status for _unused in range(2)] == [200, 429]
    refused = edge.ask(HOST, "/login/x", client("203.0.113.1"))
    assert refused.status == 429
    assert 0 < int(refused.one("Retry-After") or 0) <= 60
    assert b"Too many requests" in refused.body
    assert edge.ask(HOST, "/login", client("203.0.113.2")).status == 200
    assert [edge.ask(HOST, "/all", client(f"203.0.113.{n}")).status for n in range(3, 6)] == [200, 200, 429]
    assert edge.ask(HOST, "/", client("203.0.113.1")).status == 200


def test_a_reload_resets_no_limit(edge: Edge, echo: EchoUpstream) -> None:
    declare(edge, echo, rate_limit={"requests": 2, "window": 3600})
    assert [edge.ask(HOST).status for _unused in range(3)] == [200, 200, 429]
    declare(edge, echo, rate_limit={"requests": 3, "window": 3600}, access_log=False)
    assert [edge.ask(HOST).status for _unused in range(2)] == [200, 429]


@pytest.mark.threat("DAT-4")
def test_keys_that_a_flood_makes_up_are_counted_and_cost_the_same_whatever_the_limit(
    edge: Edge, echo: EchoUpstream
) -> None:
    declare(edge, echo, rate_limit={"requests": 100_000, "window": 3600, "key": "header", "header": "X-Api-Key"})
    before = edge.admin.rate_limit()
    for number in range(50):
        assert edge.ask(HOST, headers=f"X-Api-Key: {'x' * 4000}{number}\r\n").status == 200
    counters = edge.admin.rate_limit()
    assert counters["keys"] == before["keys"] + 50
    assert (counters["most_keys"], counters["forgotten"]) == (100_000, 0)
    declare(edge, echo)
    until(lambda: edge.admin.rate_limit()["keys"] == before["keys"])


@pytest.mark.threat("ING-8")
def test_a_host_that_is_full_says_so_and_leaves_the_others_alone(edge: Edge, echo: EchoUpstream) -> None:
    other = {"name": "other.home.example", "upstreams": [{"url": echo.url}]}
    limited = {"name": HOST, "upstreams": [{"url": echo.url}], "max_concurrent": 1}
    edge.apply([limited, other])
    with under_way(edge, echo):
        full = edge.ask(HOST)
        assert (full.status, full.one("Retry-After")) == (503, "5")
        edge.apply([{**limited, "access_log": False}, other])
        assert edge.ask(HOST).status == 503, "the count outlives a reload"
        assert edge.ask("other.home.example").status == 200
    until(lambda: edge.ask(HOST).status == 200)


# What travels --------------------------------------------------------------------------------------------------------


def test_text_is_compressed_and_an_event_stream_never_waits(edge: Edge, echo: EchoUpstream) -> None:
    declare(edge, echo, compression=True)
    wants = "Accept-Encoding: gzip\r\nX-Pad: " + "x" * 900 + "\r\n"
    packed = edge.ask(HOST, headers=wants)
    assert packed.one("Content-Encoding") == "gzip"
    assert b'"method"' in gzip.decompress(packed.body)
    assert (
        edge.ask(HOST, headers="Accept-Encoding: zstd, gzip\r\nX-Pad: " + "x" * 900 + "\r\n").one("Content-Encoding")
        == "zstd"
    )
    assert edge.ask(HOST, headers="X-Pad: " + "x" * 900 + "\r\n").one("Content-Encoding") is None
    with edge.connect(HOST) as stream:
        stream.sendall(f"GET /events HTTP/1.1\r\nHost: {HOST}\r\nAccept-Encoding: gzip\r\n\r\n".encode())
        stream.settimeout(30)  # half as long as the upstream keeps the rest back
        received = b""
        while b"data: first" not in received:
            received += stream.recv(4096)
        assert b"content-encoding" not in received.lower()
        echo.held.set()


@pytest.mark.threat("AUT-3")
def test_early_hints_of_an_upstream_are_left_out(edge: Edge, echo: EchoUpstream) -> None:
    declare(edge, echo)
    with edge.connect(HOST) as stream:
        stream.sendall(f"GET /hints HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n".encode())
        received = b""
        while chunk := stream.recv(65536):
            received += chunk
    assert received.startswith(b"HTTP/1.1 200 ")
    assert b"argos_session" not in received


@pytest.mark.threat("AUT-3")
def test_an_upstream_clears_its_own_site_only(edge: Edge, echo: EchoUpstream) -> None:
    """Cookies are cleared for the whole registrable domain: the panel's, and every published host's."""
    declare(edge, echo)
    planted = "".join(
        f"clear-site-data={value}&" for value in ("%22cookies%22,%22cache%22", "%22*%22", "%22storage%22")
    )
    assert edge.ask(HOST, f"/answer?{planted}").all("Clear-Site-Data") == ['"cache", "storage"']
    assert edge.ask(HOST, "/answer?clear-site-data=%22*%22").all("Clear-Site-Data") == []


@pytest.mark.threat("ING-2")
def test_a_blocked_path_is_blocked_in_every_spelling_that_an_upstream_may_take_for_it(
    edge: Edge, echo: EchoUpstream
) -> None:
    blocked = rule({"type": "block"}, path=["/admin", "/admin/*"])
    limit = {"path": ["/login"], "requests": 1, "window": 3600}
    declare(edge, echo, rules=[blocked], path_limits=[limit])
    for path in ("/admin", "//admin/x", "/;/admin", "/admin;a=b/x", "/%2e/admin", "/x/%252e%252e/admin", "/%5cadmin"):
        assert (path, edge.ask(HOST, path).status) == (path, 403)
    for path in ("/", "/administration", "/x;y/z", "/100%25"):
        assert (path, edge.ask(HOST, path).status) == (path, 200)
    assert [edge.ask(HOST, path).status for path in ("/login", "/;/login", "//login")] == [200, 429, 429]


def test_a_maintenance_page_says_nothing_that_the_request_says(edge: Edge, echo: EchoUpstream) -> None:
    declare(edge, echo, maintenance={"enabled": True, "text": "Not here: {http.request.uri.path}"})
    page = edge.ask(HOST, "/%3Cscript%3Ealert(1)%3C/script%3E")
    assert page.status == 503
    assert b"Not here: {http.request.uri.path}" in page.body


def test_a_host_that_is_not_logged_is_not_logged_on_port_80_either(edge: Edge, echo: EchoUpstream) -> None:
    quiet = {"name": HOST, "upstreams": [{"url": echo.url}], "access_log": False, "www": "add"}
    edge.apply([quiet, {"name": "other.home.example", "upstreams": [{"url": echo.url}]}], edge=NETWORK)
    for name in (HOST, f"www.{HOST}", "other.home.example"):
        assert edge.ask(name, "/asked", plain=True).status == 308
        assert edge.ask(name, "/asked").status in (200, 308)
    until(lambda: len(edge.log_lines()) >= 2)
    assert {line["request"]["host"] for line in edge.log_lines()} == {"other.home.example"}


def test_raw_handlers_run_before_the_upstream_and_are_told_of(edge: Edge, echo: EchoUpstream) -> None:
    raw = {"handler": "headers", "request": {"set": {"X-Raw": ["{http.request.method}"], "X-Auth-User": ["root"]}}}
    outcome = edge.apply([{"name": HOST, "upstreams": [{"url": echo.url}], "raw_handlers": [raw]}])
    assert any("raw Caddy handlers" in warning for warning in outcome.warnings)
    received = edge.ask(HOST).received()
    assert received.all("X-Raw") == ["GET"]
    assert received.all("X-Auth-User") == [], "not even they make an identity"
    with edge.storage.read() as connection:
        actions = [row[0] for row in connection.exec_driver_sql("select action from audit order by id")]
    assert "config.raw_handlers" in actions
    unrestricted = {"handler": "static_response", "body": "{env.PLANTED_SECRET}"}
    declare(edge, echo, raw_handlers=[unrestricted], raw_unrestricted=True)
    assert edge.ask(HOST).body == b"value-of-the-environment"


def test_a_raw_handler_compares_the_request_with_matchers_that_reach_nothing_else(
    edge: Edge, echo: EchoUpstream, tmp_path: Path
) -> None:
    """CEL reads a file bit by bit without one brace."""
    planted = tmp_path / "planted"
    planted.write_text("a secret")
    answer = [{"handler": "static_response", "status_code": 299, "body": "matched"}]

    def subroute(**matchers: Any) -> list[dict[str, Any]]:
        return [{"handler": "subroute", "routes": [{"match": [matchers], "handle": answer}]}]

    reading = subroute(expression=f"ph(req, 'file.{planted}').startsWith('a')")
    with pytest.raises(Invalid) as refused:
        declare(edge, echo, raw_handlers=reading)
    assert "the matcher 'expression'" in str(refused.value)
    declare(edge, echo, raw_handlers=reading, raw_unrestricted=True)
    assert edge.ask(HOST).status == 299, "what it would have read"
    declare(edge, echo, raw_handlers=subroute(path=["/a*"], **{"not": [{"header": {"X-A": ["1"]}}]}))
    assert [edge.ask(HOST, "/ab").status, edge.ask(HOST, "/ab", "X-A: 1\r\n").status] == [299, 200]


def test_all_guards_hold_together(edge: Edge, echo: EchoUpstream, gate: Gate) -> None:
    """Sign-on, rules, WAF and limits on one host."""
    declare(
        edge,
        echo,
        auth={"required": True},
        waf={"mode": "block"},
        rate_limit={"requests": 6, "window": 60},
        rules=[rule({"type": "redirect", "location": "/new"}, path=["/old"])],
        body_limit=100_000,
        compression=True,
    )
    assert edge.ask(HOST, "/old").one("Location") == "/new"
    assert edge.ask(HOST).received().all("X-Auth-User") == ["alice"]
    assert edge.ask(HOST, "/?q=<script>alert(1)</script>").status == 403
    assert len(gate.asked) == 2, "the WAF refuses before the gate is asked"
    gate.answer = lambda _unused: b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n"
    assert edge.ask(HOST, "/old").status == 401
    assert [edge.ask(HOST).status for _unused in range(3)] == [401, 401, 429]
