"""A request's way through the rendered configuration, in a real Caddy."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest
from edge_rig import IDENTITY, PANEL, YES, EchoUpstream, Edge, Gate, http

FORGED = "mallory"
OPEN, GUARDED = "open.home.example", "guarded.home.example"


def hosts(echo: EchoUpstream, **more: Any) -> list[dict[str, Any]]:
    """A public and a protected host."""
    upstreams = [{"url": echo.url}]
    return [
        {"name": OPEN, "upstreams": upstreams, **more},
        {"name": GUARDED, "upstreams": upstreams, "auth": {"required": True}, **more},
    ]


def test_an_unknown_host_is_misdirected_and_never_an_empty_200(edge: Edge, echo: EchoUpstream) -> None:
    edge.apply(hosts(echo))
    for sni in (OPEN, "unknown.home.example", None):
        for plain in (True, False):
            assert edge.ask("unknown.home.example", sni=sni, plain=plain).status == 421
    with edge.connect("unknown.home.example") as stream:
        certificate = stream.getpeercert(binary_form=True)
    assert b"home.example" not in certificate, "a scanner learns no name of ours"
    assert edge.ask(GUARDED, sni=OPEN).status == 421, "the certificate asked for is of another host"


@pytest.mark.threat("ING-6")
def test_port_80_redirects_and_tls_answers_carry_hsts(edge: Edge, echo: EchoUpstream) -> None:
    edge.apply(hosts(echo))
    moved = edge.ask(OPEN, "/a%2Fb?c=%26&d", plain=True)
    assert (moved.status, moved.one("Location")) == (308, f"https://{OPEN}:{edge.https_port}/a%2Fb?c=%26&d")
    hsts = "max-age=31536000; includeSubDomains"
    assert edge.ask(OPEN).one("Strict-Transport-Security") == hsts
    assert edge.ask(OPEN, "/answer?status=500").one("Strict-Transport-Security") == hsts
    dead = edge.ask(PANEL)
    assert (dead.status, dead.one("Strict-Transport-Security")) == (502, hsts)
    assert dead.one("X-Frame-Options") == "DENY"
    assert "frame-ancestors 'none'" in (dead.one("Content-Security-Policy") or "")
    assert b"panel.sock" not in dead.body


SPELLINGS = [
    *(f"{name}: {FORGED}\r\n" for name in ("X-Auth-User", "x-auth-user", "X-AUTH-USER", "X_Auth_User", "X-Auth_User")),
    *(f"{name}: {FORGED}\r\n" for name in ("X.Auth.User", "Remote-User", "remote_user", "Argos-Host-Id", "X-Auth-Foo")),
    f"X-Auth-User: {FORGED}\r\nX-Auth-User: {FORGED}2\r\nx-auth-user: {FORGED}3\r\n",
    f"Connection: close, X-Auth-User, X-Auth-Email, Argos-Host-Id\r\nX-Auth-User: {FORGED}\r\n",
]


@pytest.mark.threat("FWD-1")
def test_a_clients_own_identity_reaches_no_upstream(edge: Edge, echo: EchoUpstream, gate: Gate) -> None:
    edge.apply(hosts(echo))
    for block in SPELLINGS:
        public = edge.ask(OPEN, headers=block).received()
        assert FORGED not in str(public.headers), block
        assert not any(name.startswith(("x-auth", "x_auth", "argos", "remote")) for name in public.names()), block
        inside = edge.ask(GUARDED, headers=block).received()
        assert FORGED not in str(inside.headers), block
        assert [inside.all(name) for name in IDENTITY] == [["alice"], ["alice@home.example"], ["Alice%20A."], ["local"]]
        assert gate.asked[-1]["argos-host-id"] == GUARDED
        assert "argos-client-ip" not in gate.asked[-1]
        assert FORGED not in str(gate.asked[-1]), block


@pytest.mark.threat("FWD-1")
def test_a_forged_identity_for_another_sign_on_proxy_reaches_no_protected_host(
    edge: Edge, echo: EchoUpstream, gate: Gate
) -> None:
    declared = {"request_headers": {"set": {"X-WebAuth-User": "declared"}, "add": {"x-remote-user": "declared"}}}
    edge.apply(hosts(echo, **declared))
    names = ("X-Forwarded-User", "x-forwarded-email", "X-Forwarded-Groups", "X-WEBAUTH-USER", "X-authentik-username")
    block = "".join(f"{name}: {FORGED}\r\n" for name in (*names, "X-Remote-Group", "X-Remote-User"))
    received = edge.ask(GUARDED, headers=block).received()
    assert FORGED not in str(received.headers)
    assert (received.all("X-Webauth-User"), received.all("X-Remote-User")) == (["declared"], ["declared"])


def test_the_gate_is_asked_with_the_raw_request(edge: Edge, echo: EchoUpstream, gate: Gate) -> None:
    edge.apply(hosts(echo))
    answer = edge.ask(GUARDED, "/a%2Fb/../c?x=1&y=%26", method="POST", body=b"1234")
    assert answer.received().method == "POST"
    asked = gate.asked[-1]
    assert asked[":request"] == "GET /verify HTTP/1.1"
    assert asked["x-forwarded-uri"] == "/a%2Fb/../c?x=1&y=%26"
    assert (asked["x-forwarded-method"], asked["x-forwarded-proto"], asked["x-forwarded-host"]) == (
        "POST",
        "https",
        GUARDED,
    )
    assert "content-length" not in asked or asked["content-length"] == "0"


@pytest.mark.threat("FWD-3")
@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (http("200 OK"), 502),
        (http("200 OK", {"X-Auth-User": "root"}), 502),
        (http("204 No Content"), 502),
        (http("101 Switching Protocols"), 502),
        (http("299 Fine", dict.fromkeys(IDENTITY, "x")), 502),
        (YES.replace(b"X-Auth-Email:", b"X-Auth-User: root\r\nX-Auth-Email:"), 502),
        (YES + YES, 502),
        (http("401 Unauthorized", {"X-Auth-User": "root"}), 502),
        (http("500 Oops", {"X-Auth-User": "root"}), 502),
        (http("302 Found", {"Location": "https://argos.home.example/login?rd=x", "Cache-Control": "no-store"}), 302),
        (http("401 Unauthorized", {"Cache-Control": "no-store"}), 401),
        (http("403 Forbidden", {"Cache-Control": "no-store"}), 403),
        (b"\x00\xff garbage\r\n\r\n", 502),
        (b"", 502),
    ],
)
def test_only_a_clear_yes_of_the_gate_passes(
    edge: Edge, echo: EchoUpstream, gate: Gate, answer: bytes, expected: int
) -> None:
    edge.apply(hosts(echo))
    if answer:
        gate.answer = lambda _unused: answer
    else:
        gate.__exit__()
    denied = edge.ask(GUARDED)
    assert denied.status == expected
    assert b'"method"' not in denied.body
    if expected in (302, 401, 403):
        assert denied.all("Cache-Control") == ["no-store"]
    assert edge.ask(OPEN).status == 200, "public hosts go on"


@pytest.mark.threat("FWD-3")
def test_a_hung_gate_denies_within_seconds(edge: Edge, echo: EchoUpstream, gate: Gate) -> None:
    edge.apply(hosts(echo))

    over = threading.Event()

    def hang(_unused: dict[str, str]) -> bytes:
        over.wait(60)
        return b""

    gate.answer = hang
    before = time.monotonic()
    try:
        assert edge.ask(GUARDED).status == 504
    finally:
        over.set()
    assert time.monotonic() - before < 20, "5 s, and what a busy machine adds"


@pytest.mark.threat("AUT-3")
@pytest.mark.parametrize("host", [OPEN, GUARDED])
def test_our_cookies_reach_no_upstream(edge: Edge, echo: EchoUpstream, gate: Gate, host: str) -> None:
    edge.apply(hosts(echo))
    ours = ["__Host-argos_panel=P", "__Secure-argos_session=S", "argos_panel=P", "argos_session=S", "ARGOS_session=S"]
    for cookie in (*ours, "; ".join(ours), "argos_session", "=argos_session=S", " ;argos_session=S;; "):
        assert edge.ask(host, headers=f"Cookie: {cookie}\r\n").received().all("Cookie") == [], cookie
    mixed = f"theme=dark; {ours[1]}; my_argos_note=1; {ours[0]};lang=de; {ours[3]}"
    assert edge.ask(host, headers=f"Cookie: {mixed}\r\n").received().all("Cookie") == [
        "theme=dark; my_argos_note=1;lang=de"
    ]
    assert edge.ask(host, headers=f"Cookie: {ours[1]}; b=2\r\n").received().all("Cookie") == ["b=2"]
    two = edge.ask(host, headers=f"Cookie: {ours[1]}\r\nCookie: b=2\r\n").received().all("Cookie")
    assert "argos" not in str(two)
    assert "b=2" in two


@pytest.mark.threat("AUT-3")
@pytest.mark.parametrize("host", [OPEN, GUARDED])
def test_our_cookies_reach_no_handler_of_an_operator(edge: Edge, echo: EchoUpstream, gate: Gate, host: str) -> None:
    told = {"handler": "headers", "request": {"set": {"X-Told": ["{http.request.header.Cookie}"]}}}
    edge.apply(hosts(echo, raw_handlers=[told], raw_unrestricted=True))
    received = edge.ask(host, headers="Cookie: __Secure-argos_session=S; own=1\r\n").received()
    assert received.all("X-Told") == ["own=1"]


@pytest.mark.threat("AUT-3")
@pytest.mark.threat("DEP-1")
def test_an_upstream_plants_none_of_our_cookies(edge: Edge, echo: EchoUpstream) -> None:
    edge.apply(hosts(echo))
    for planted in (
        "__Host-argos_panel=x; Path=/; Secure",
        "__Secure-argos_session=x; Domain=home.example",
        "argos_session=x",
        "ARGOS_SESSION=x",
        "%20argos_session=x",
        "%09%20argos_session=x",
        "=argos_session=x",
        "=%20=__HOST-argos_panel=x",
    ):
        answer = edge.ask(
            OPEN, f"/answer?set-cookie={planted.replace(';', '%3B').replace(' ', '%20')}&set-cookie=own=1"
        )
        assert answer.all("Set-Cookie") == ["own=1"], planted


@pytest.mark.threat("ING-5")
def test_the_rate_limit_counts_addresses_not_claims(edge: Edge, echo: EchoUpstream) -> None:
    edge.apply(hosts(echo, rate_limit={"requests": 5, "window": 60}))
    statuses = [
        edge.ask(OPEN, headers=f"X-Forwarded-For: 203.0.113.{n}\r\nX-Real-Ip: 203.0.113.{n}\r\n").status
        for n in range(8)
    ]
    assert statuses == [200] * 5 + [429] * 3
    refused = edge.ask(OPEN)
    assert 1 <= int(refused.one("Retry-After") or 0) <= 61
    assert edge.ask(PANEL).status == 502, "another host has its own count"


@pytest.mark.threat("ING-5")
def test_behind_a_trusted_proxy_the_network_of_the_client_counts(edge: Edge, echo: EchoUpstream) -> None:
    edge.apply(hosts(echo, rate_limit={"requests": 3, "window": 60}), edge={"trusted_proxies": ["127.0.0.0/8"]})

    def status(address: str) -> int:
        return edge.ask(OPEN, headers=f"X-Forwarded-For: 198.51.100.9, {address}\r\n").status

    same64 = ("2001:db8:1:2::1", "2001:db8:1:2:ffff::1", "2001:db8:1:2:0:1:2:3", "2001:db8:1:2::ffff")
    assert [status(address) for address in same64] == [200, 200, 200, 429]
    assert status("2001:db8:1:3::1") == 200
    assert [status("192.0.2.1") for _unused in range(4)] == [200, 200, 200, 429]
    assert status("192.0.2.2") == 200


@pytest.mark.threat("LOG-3")
def test_upstreams_are_told_honest_forwarded_headers(edge: Edge, echo: EchoUpstream) -> None:
    edge.apply(hosts(echo))
    forged = "".join(
        f"{name}: {FORGED}\r\n"
        for name in ("X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "X-Real-Ip", "Forwarded")
    )
    seen = edge.ask(OPEN, headers=forged).received()
    assert FORGED not in str(seen.headers)
    assert seen.all("X-Forwarded-For") == seen.all("X-Real-Ip") == ["127.0.0.1"]
    assert seen.all("X-Forwarded-Proto") == ["https"]
    assert seen.all("X-Forwarded-Host") == [OPEN]


def test_a_large_upload_passes_the_gate_and_reaches_the_upstream_whole(
    edge: Edge, echo: EchoUpstream, gate: Gate
) -> None:
    edge.apply(hosts(echo))
    body = bytes(20 * 1024 * 1024)
    headers = "Content-Type: application/octet-stream\r\n"
    assert edge.ask(GUARDED, method="PUT", headers=headers, body=body).received().length == len(body)


@pytest.mark.parametrize("host", [OPEN, GUARDED])
def test_a_websocket_passes_and_outlives_a_reload(edge: Edge, echo: EchoUpstream, gate: Gate, host: str) -> None:
    edge.apply(hosts(echo, waf={"mode": "block"}))
    handshake = (
        f"GET /socket HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nX-Auth-User: mallory\r\n\r\n"
    )
    with edge.connect(host) as stream:
        stream.sendall(handshake.encode())
        opened = stream.recv(65536).decode()
        assert opened.startswith("HTTP/1.1 101")
        assert ("X-Saw-User: alice" if host == GUARDED else "X-Saw-User: -") in opened
        stream.sendall(b"one\n")
        assert stream.recv(65536) == b"echo one\n"
        edge.apply(
            [*hosts(echo, waf={"mode": "block"}), {"name": "new.home.example", "upstreams": [{"url": echo.url}]}]
        )
        stream.sendall(b"two\n")
        assert stream.recv(65536) == b"echo two\n"


@pytest.mark.threat("FWD-1")
@pytest.mark.threat("FWD-3")
@pytest.mark.parametrize("host", [OPEN, GUARDED])
def test_no_request_opens_a_connection_to_the_upstream_for_others(
    edge: Edge, echo: EchoUpstream, gate: Gate, host: str
) -> None:
    """Over HTTP/2 in a tunnel a client could send any request, with any identity, past sign-on and WAF."""
    edge.apply(hosts(echo))
    for protocol in ("h2c", "H2c", "websocket, h2c", "websocket\r\nUpgrade: h2c", "HTTP/2.0", "TLS/1.2"):
        for listed in ("Upgrade", "Upgrade, HTTP2-Settings"):
            headers = f"Connection: {listed}\r\nUpgrade: {protocol}\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n"
            answer = edge.ask(host, "/pub", headers)
            assert "upgrade" not in answer.received().names(), protocol
    for target, status in (("/pub", 405), (f"{host}:443", 405), ("127.0.0.1:22", 421)):
        assert edge.ask(host, target, method="CONNECT").status == status, target


@pytest.mark.threat("FWD-3")
def test_a_denied_websocket_is_no_websocket(edge: Edge, echo: EchoUpstream, gate: Gate) -> None:
    edge.apply(hosts(echo))
    gate.answer = lambda _unused: http("401 Unauthorized")
    headers = "Connection: Upgrade\r\nUpgrade: websocket\r\n"
    assert edge.ask(GUARDED, "/socket", headers).status == 401
    assert gate.asked[-1]["upgrade"] == "websocket"


@pytest.mark.threat("FWD-1")
@pytest.mark.parametrize("host", [OPEN, GUARDED])
def test_a_forged_identity_in_a_trailer_reaches_no_upstream(
    edge: Edge, echo: EchoUpstream, gate: Gate, host: str
) -> None:
    edge.apply(hosts(echo))
    for announced in ("Trailer: X-Auth-User\r\n", ""):
        request = (
            f"POST / HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: chunked\r\n{announced}Connection: close\r\n\r\n"
            "2\r\nhi\r\n0\r\nX-Auth-User: mallory\r\n\r\n"
        )
        received = edge.raw(request.encode(), host).received()
        assert received.length == 2
        assert FORGED not in str(received.headers)


@pytest.mark.threat("FWD-3")
def test_a_protected_hosts_own_answers_are_behind_sign_on_too(edge: Edge, echo: EchoUpstream, gate: Gate) -> None:
    action = {"type": "fixed_response", "status": 200, "body": "for members only"}
    edge.apply(hosts(echo, rules=[{"priority": 1, "match": {"path": ["/note"]}, "action": action}]))
    gate.answer = lambda _unused: http("401 Unauthorized")
    assert edge.ask(GUARDED, "/note").status == 401
    assert edge.ask(OPEN, "/note").body == b"for members only"
    gate.answer = lambda _unused: YES
    assert edge.ask(GUARDED, "/note").body == b"for members only"
