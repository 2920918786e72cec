"""Fields of the edge's settings: declared, and a real Caddy behaves so."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
from argos.edge.credentials import BOUNCER_KEY
from argos.edge.proxy_presets import PROXY_PRESETS
from edge_rig import ACTOR, EchoUpstream, Edge
from waiting import until

HOST = "open.home.example"
KEY = "the-bouncers-key"
BANNED = "203.0.113.7"
OUTSIDE = "192.0.2.7"

ASK = """
import socket, sys
port, *sources = sys.argv[1:]
lines = "GET / HTTP/1.1", "Host: open.home.example", "X-Forwarded-For: 203.0.113.7", "Connection: close", "", ""
for source in sources:
    there = "::1" if ":" in source else "127.0.0.1"
    with socket.create_connection((there, int(port)), timeout=30, source_address=(source, 0)) as stream:
        stream.sendall("\\r\\n".join(lines).encode())
        print(source, stream.recv(64).split()[1].decode())
"""
"""A client at each of some addresses, who says that it speaks for 203.0.113.7."""


def test_the_preset_cloudflare_believes_its_proxies_and_nobody_else(tmp_path: Path, caddy_binary: Path) -> None:
    """Caddy and its clients are in a network of their own, which has an address in each range of Cloudflare's."""
    peers = [str(ip_network(network)[7]) for network in PROXY_PRESETS["cloudflare"]]
    local = " && ".join(f"ip address add {peer} dev lo" for peer in (OUTSIDE, *peers))
    user = [] if os.getuid() == 0 else ["--map-root-user"]
    within = ["unshare", "--net", *user, "sh", "-c", f'ip link set lo up && {local} && exec "$@"', "sh"]
    seen = {"priority": 1, "match": {"remote_ip": [BANNED]}, "action": {"type": "fixed_response", "status": 299}}
    host = {"name": HOST, "tls": {"mode": "off"}, "rules": [seen]}
    with Edge(tmp_path, caddy_binary, within=within) as edge:
        assert edge.caddy is not None
        inside = ["nsenter", f"--target={edge.caddy.pid}", "--net"]
        inside += [] if os.getuid() == 0 else ["--user", "--preserve-credentials"]
        command = [*inside, sys.executable, "-c", ASK, str(edge.http_port), OUTSIDE, *peers]

        def answers() -> dict[str, str]:
            asked = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
            return dict(line.split() for line in asked.stdout.splitlines())

        edge.apply([host], edge={"trusted_proxies": ["cloudflare"]})
        assert answers() == {OUTSIDE: "404", **dict.fromkeys(peers, "299")}
        edge.apply([host], edge={"trusted_proxies": ["198.51.100.1"]})
        assert set(answers().values()) == {"404"}


@pytest.fixture
def lapi() -> Iterator[str]:
    """What CrowdSec's LAPI answers a bouncer while one address is banned; its URL."""
    ban = {
        "id": 1, "type": "ban", "scope": "Ip", "value": BANNED, "duration": "4h", "origin": "cscli", "scenario": "test",
    }  # fmt: skip

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            allowed = self.headers.get("X-Api-Key") == KEY and self.path.startswith("/v1/decisions/stream")
            begins = "startup=true" in self.path
            body = json.dumps({"new": [ban] if begins else [], "deleted": []} if allowed else {}).encode()
            self.send_response(200 if allowed else 403)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_unused: object) -> None:
            """Say nothing."""

    with serving(ThreadingHTTPServer(("127.0.0.1", 0), Handler)) as server:
        yield f"http://127.0.0.1:{server.server_address[1]}"


@contextmanager
def serving(server: ThreadingHTTPServer) -> Iterator[ThreadingHTTPServer]:
    """Serve until the block ends."""
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()


def test_a_ban_holds_while_crowdsec_is_enabled_and_for_whom_the_whitelist_leaves_out(
    edge: Edge, echo: EchoUpstream, lapi: str
) -> None:
    edge.secrets.set(ACTOR, BOUNCER_KEY, KEY)
    host = {"name": HOST, "tls": {"mode": "off"}, "upstreams": [{"url": echo.url}]}

    def declare(**crowdsec: Any) -> None:
        settings = {"crowdsec": {"lapi_url": lapi, **crowdsec}}
        edge.apply([host], edge={"trusted_proxies": ["127.0.0.0/8"]}, settings=settings)

    def status(client: str) -> int:
        return edge.ask(HOST, headers=f"X-Forwarded-For: {client}\r\n", plain=True).status

    declare(enabled=True)
    until(lambda: status(BANNED) == 403)
    assert status("203.0.113.8") == 200
    declare(enabled=True, whitelist=[{"value": "203.0.113.0/28", "reason": "ours"}])
    until(lambda: status(BANNED) == 200)
    declare(enabled=True)
    until(lambda: status(BANNED) == 403)
    declare(enabled=False)
    assert status(BANNED) == 200
    assert '"handler": "crowdsec"' not in json.dumps(edge.admin.config())
