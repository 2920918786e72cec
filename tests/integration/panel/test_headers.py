"""Every answer of the panel carries its headers, whoever made it (ING-7)."""

from __future__ import annotations

import contextlib
import socket

import pytest
from panel_runtime import Browser, Runtime

REQUESTS = (
    ("GET", "/"),
    ("GET", "/login"),
    ("GET", "/login?rd=%ff%fe&rd=2"),
    ("POST", "/login"),
    ("POST", "/logout"),
    ("GET", "/continue?rd=/"),
    ("GET", "/password"),
    ("GET", "/hosts"),
    ("GET", "/static/panel.css"),
    ("GET", "/static/..%2f..%2fetc%2fpasswd"),
    ("GET", "/static/nothing"),
    ("GET", "/nothing-here"),
    ("GET", "//evil.example/"),
    ("GET", "/%ff%00"),
    ("DELETE", "/login"),
    ("OPTIONS", "/login"),
    ("TRACE", "/"),
    ("GET", "/api/auth/forward"),
    ("GET", "/api/v1/health"),
    ("GET", "/api/v1/config"),
    ("POST", "/api/v1/config/apply"),
    ("GET", "/api/v1/users"),
    ("PUT", "/api/v1/secrets/x"),
    ("GET", "/api/v1/nothing"),
    ("GET", "/" + "x" * 2000),
)


@pytest.mark.threat("ING-7")
@pytest.mark.parametrize("who", [None, "alice", "root-admin"])
def test_every_route_and_error(runtime: Runtime, who: str | None) -> None:
    browser = Browser(runtime)
    if who:
        assert browser.sign_in(who).status_code == 303
    for method, path in REQUESTS:
        for host in (None, "evil.example"):
            answer = browser.send(method, path, headers={"Host": host or browser.host})
            _protected(answer.headers.get, f"{method} {path} as {who} at {host}: {answer.status_code}")
            assert answer.headers["Cache-Control"] == (
                "public, max-age=3600" if answer.status_code == 200 and path == "/static/panel.css" else "no-store"
            )


@pytest.mark.threat("ING-7")
@pytest.mark.parametrize(
    "request_bytes",
    [
        b"nonsense\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 300_000 + b"\r\n\r\n",
        b"POST /login HTTP/1.1\r\nHost: x\r\nContent-Length: 2000000\r\n\r\n",
        b"POST /login HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"POST /login HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    ],
)
def test_what_the_server_itself_refuses(lan: Runtime, request_bytes: bytes) -> None:
    status, headers = _raw(lan.port, request_bytes)
    assert 400 <= status < 500
    _protected(lambda name: headers.get(name.lower()), f"{request_bytes[:60]!r}: {status}")


def _protected(header, said: str) -> None:
    assert header("X-Frame-Options") == "DENY", said
    policy = header("Content-Security-Policy") or ""
    assert "frame-ancestors 'none'" in policy, said
    assert "default-src 'none'" in policy, said
    assert "unsafe" not in policy, said
    assert "script-src" not in policy, said
    assert header("X-Content-Type-Options") == "nosniff", said
    assert header("Referrer-Policy") == "same-origin", said
    assert not header("Strict-Transport-Security"), "Caddy sets it, where there is TLS"


def _raw(port: int, request: bytes) -> tuple[int, dict[str, str]]:
    with socket.create_connection(("127.0.0.1", port), timeout=20) as peer:
        with contextlib.suppress(OSError):  # it may answer and close before it has heard all
            peer.sendall(request)
        answer = b""
        while b"\r\n\r\n" not in answer:
            chunk = peer.recv(65536)
            if not chunk:
                break
            answer += chunk
    head = answer.split(b"\r\n\r\n")[0].decode("latin-1").split("\r\n")
    return int(head[0].split(" ")[1]), {k.lower(): v for k, v in (line.split(": ", 1) for line in head[1:])}
