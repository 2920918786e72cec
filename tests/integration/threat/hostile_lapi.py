"""A local API of CrowdSec that lies, stalls and floods on request. See README.md: what it stands for, and what not."""

from __future__ import annotations

import ipaddress
import json
import secrets
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

LOGIN, PASSWORD, KEY = "argos", "a-machine-password", "a-bouncer-key-of-ours"
Answer = Callable[[BaseHTTPRequestHandler], None]


class HostileLapi:
    """A running LAPI; :meth:`close` ends it."""

    def __init__(self) -> None:
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.reset()
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def reset(self) -> None:
        """Honest and empty again, and all tokens are void, as after CrowdSec's restart."""
        self.password, self.key = PASSWORD, KEY
        self.decisions: dict[int, dict[str, Any]] = {}
        self.number = 0
        self.tokens: set[str] = set()
        self.answers: dict[str, Answer] = {}
        self.received: list[tuple[str, str, dict[str, str], bytes]] = []

    def close(self) -> None:
        """Stop answering."""
        self.server.shutdown()
        self.server.server_close()

    def count(self, path: str) -> int:
        """How often ``path`` was asked."""
        return sum(1 for _method, asked, _headers, _body in self.received if asked == path)

    def decide(self, value: str, **more: Any) -> int:
        """Keep a decision of another origin; return its id."""
        self.number += 1
        scope = "Range" if "/" in value else "Ip"
        self.decisions[self.number] = {
            "id": self.number,
            "value": value,
            "scope": scope,
            "type": "ban",
            "origin": "crowdsec",
            "scenario": "crowdsecurity/http-probing",
            "until": time.time() + 3600,
            **more,
        }
        return self.number

    def standing(self) -> list[dict[str, Any]]:
        """The decisions in force."""
        return [one for one in self.decisions.values() if one["until"] > time.time()]

    def found(self, query: dict[str, list[str]]) -> list[dict[str, Any]] | None:
        """What ``GET /v1/decisions`` answers: null for none, as Go encodes it."""
        wanted = query.get("ip", [""])[0]
        shown = []
        for one in self.standing():
            if wanted and not _around(one["value"], wanted):
                continue
            left = one["until"] - time.time()
            shown.append({name: value for name, value in one.items() if name != "until"} | {"duration": f"{left:.9f}s"})
        return shown or None

    def alert(self, alerts: list[dict[str, Any]]) -> list[str]:
        """Keep the decisions of alerts."""
        for one in alerts:
            for decision in one["decisions"]:
                duration = float(decision.pop("duration").removesuffix("s"))
                self.decide(**decision, until=time.time() + duration)
        return [str(self.number)]


def _around(value: str, wanted: str) -> bool:
    try:
        outer, inner = ipaddress.ip_network(value), ipaddress.ip_network(wanted)
    except ValueError:
        return False
    return outer.version == inner.version and inner.subnet_of(outer)


def _handler(lapi: HostileLapi) -> type[BaseHTTPRequestHandler]:  # noqa: C901 - a handler is a class in a function
    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_arguments: object) -> None:
            pass

        def do_GET(self) -> None:
            self.serve()

        def do_POST(self) -> None:
            self.serve()

        def do_DELETE(self) -> None:
            self.serve()

        def serve(self) -> None:
            parts = urlsplit(self.path)
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            headers = {name.lower(): value for name, value in self.headers.items()}
            lapi.received.append((self.command, parts.path, headers, body))
            for path, answer in lapi.answers.items():
                if parts.path.startswith(path):
                    answer(self)
                    return
            if parts.path == "/v1/watchers/login":
                self.login(json.loads(body))
            elif (self.command, parts.path) == ("GET", "/v1/decisions"):
                if headers.get("x-api-key") == lapi.key:
                    self.say(200, lapi.found(parse_qs(parts.query)))
                else:
                    self.say(403, {"message": "access forbidden"})
            elif headers.get("authorization", "").removeprefix("Bearer ") not in lapi.tokens:
                self.say(401, {"code": 401, "message": "cookie token is empty"})
            elif (self.command, parts.path) == ("POST", "/v1/alerts"):
                self.say(201, lapi.alert(json.loads(body)))
            elif self.command == "DELETE":
                self.end(int(parts.path.rpartition("/")[2]))
            else:
                self.say(200, None)

        def login(self, given: dict[str, Any]) -> None:
            if (given["machine_id"], given["password"]) != (LOGIN, lapi.password):
                self.say(401, {"code": 401, "message": "incorrect Username or Password"})
                return
            token = secrets.token_urlsafe(24)
            lapi.tokens.add(token)
            self.say(200, {"code": 200, "expire": "2030-01-01T00:00:00Z", "token": token})

        def end(self, number: int) -> None:
            if lapi.decisions.pop(number, None) is None:
                self.say(500, {"message": f"decision with id '{number}' doesn't exist: unable to delete"})
            else:
                self.say(200, {"nbDeleted": "1"})

        def say(self, status: int, value: object) -> None:
            body = json.dumps(value).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    return Handler


def saying(status: int, body: bytes, *, length: int | None = None, **headers: str) -> Answer:
    """An answer with exactly this; ``length`` is a Content-Length that lies."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(body) if length is None else length))
        handler.end_headers()
        handler.wfile.write(body)

    return answer


def dripping(handler: BaseHTTPRequestHandler) -> None:
    """A header that never ends, a byte at a time."""
    drip(handler, b"HTTP/1.1 200 OK\r\nX-Slow: ", b"a")


def endless(handler: BaseHTTPRequestHandler) -> None:
    """A body that never ends, as fast as it goes."""
    drip(handler, b"HTTP/1.1 200 OK\r\n\r\n[", b'"' + b"a" * 65536 + b'",', pause=0)


def drip(handler: BaseHTTPRequestHandler, first: bytes, again: bytes, *, pause: float = 0.1) -> None:
    """Write on until the other side is gone."""
    until = time.monotonic() + 60
    try:
        handler.wfile.write(first)
        while time.monotonic() < until:
            handler.wfile.write(again)
            handler.wfile.flush()
            time.sleep(pause)
    except OSError:
        handler.close_connection = True
