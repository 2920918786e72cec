"""The parts of an edge on one machine's loopback: Caddy, apply engine, an upstream, a gate."""

from __future__ import annotations

import gzip
import json
import os
import socket
import socketserver
import ssl
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

from argos.audit import Actor, Audit
from argos.clock import SystemClock
from argos.edge.apply import ApplyEngine, Outcome
from argos.edge.caddy import CaddyAdmin, CaddyUnreachable
from argos.edge.context import RenderContext
from argos.edge.decode import decode_document
from argos.epoch import EpochWriter
from argos.named_secrets import NamedSecrets
from argos.scrub import Scrubber
from argos.settings import Settings
from argos.storage.engine import Storage
from argos.vault import Vault
from ports import free_port
from waiting import until

PANEL = "argos.home.example"
ACTOR = Actor("cli", "test")
DOWNLOAD = 40 * 1024 * 1024  # more than all buffers on the way hold
HALF = 100_000  # bytes
IDENTITY = ("X-Auth-User", "X-Auth-Email", "X-Auth-Name", "X-Auth-Provider")


@dataclass
class Answer:
    """An HTTP answer as it came over the wire."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes

    def all(self, name: str) -> list[str]:
        """Every value of a header."""
        return [value for key, value in self.headers if key.lower() == name.lower()]

    def one(self, name: str) -> str | None:
        """The only value of a header, None when it is not there."""
        values = self.all(name)
        assert len(values) <= 1, (name, values)
        return values[0] if values else None

    def received(self) -> Received:
        """What the echo upstream said it received."""
        assert self.status == 200, (self.status, self.body[:300])
        return Received(**json.loads(self.body))


@dataclass
class Received:
    """A request as the upstream saw it."""

    method: str
    path: str
    headers: list[list[str]]
    length: int

    def all(self, name: str) -> list[str]:
        """Every value of a header."""
        return [value for key, value in self.headers if key.lower() == name.lower()]

    def names(self) -> set[str]:
        """All header names, in lower case."""
        return {key.lower() for key, _unused in self.headers}


class EchoHandler(BaseHTTPRequestHandler):
    """Answers with the request it got; ``/answer?set-cookie=…&status=…`` answers as asked; an upgrade echoes lines."""

    protocol_version = "HTTP/1.1"
    upstream: EchoUpstream

    def answer(self) -> None:
        """Any request; ``/held`` waits for the test, the others are what they say."""
        path = urlsplit(self.path).path
        self.upstream.seen(path, self.headers.get("Host", ""))
        if path == "/held":
            self.upstream.held.wait(60)
        special = {
            "/cut": self.cut,
            "/download": self.download,
            "/events": self.events,
            "/halves": self.halves,
            "/leak": self.leak,
        }
        if path in special:
            special[path]()
            return
        if path == "/hints":
            self.wfile.write(b"HTTP/1.1 103 Early Hints\r\nSet-Cookie: argos_session=planted\r\n\r\n")
        if self.headers.get("Upgrade"):
            self.upgrade()
            return
        length = self.read_body()
        query = parse_qs(urlsplit(self.path).query, keep_blank_values=True)
        headers = [list(pair) for pair in self.headers.items()]
        body = json.dumps({"method": self.command, "path": self.path, "headers": headers, "length": length}).encode()
        self.send_response(self.upstream.statuses.get(path) or int(query.get("status", ["200"])[0]))
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        for name in ("set-cookie", "clear-site-data", "x-powered-by"):
            for value in query.get(name, []):
                self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def events(self) -> None:
        """One event, and then the test is waited for."""
        self.upstream.held.clear()
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        self.wfile.write(b"data: first\n\n")
        self.upstream.held.wait(60)
        self.close_connection = True

    def download(self) -> None:
        """``DOWNLOAD`` bytes, as fast as they are read."""
        self.send_response(200)
        self.send_header("Content-Length", str(DOWNLOAD))
        self.end_headers()
        for _unused in range(0, DOWNLOAD, 65536):
            self.wfile.write(bytes(65536))

    def cut(self) -> None:
        """Ten bytes of a thousand, and the end."""
        self.send_response(200)
        self.send_header("Content-Length", "1000")
        self.end_headers()
        self.wfile.write(b"0123456789")
        self.close_connection = True

    def leak(self) -> None:
        """A database's error, compressed for whoever takes it so."""
        body = b"You have an error in your SQL syntax; check the manual that corresponds to your MySQL server version"
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        if "gzip" in self.headers.get("Accept-Encoding", ""):
            body = gzip.compress(body)
            self.send_header("Content-Encoding", "gzip")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def halves(self) -> None:
        """One half, and the other when the test says so."""
        self.send_response(200)
        self.send_header("Content-Length", str(2 * HALF))
        self.end_headers()
        self.wfile.write(bytes(HALF))
        self.upstream.held.wait(60)
        self.wfile.write(bytes(HALF))

    def read_body(self) -> int:
        """Read the body and count it; trailers are merged into the headers, as some servers do."""
        if self.headers.get("Transfer-Encoding") != "chunked":
            return len(self.rfile.read(int(self.headers.get("Content-Length") or 0)))
        total = 0
        while size := int(self.rfile.readline(), 16):
            total += len(self.rfile.read(size))
            self.rfile.readline()
        while (line := self.rfile.readline().decode().strip()) != "":
            name, _unused, value = line.partition(":")
            self.headers[name] = value.strip()
        return total

    def upgrade(self) -> None:
        """Switch to lines, each echoed."""
        self.send_response(101)
        self.send_header("Connection", "Upgrade")
        self.send_header("Upgrade", self.headers["Upgrade"])
        self.send_header("X-Saw-User", self.headers.get("X-Auth-User", "-"))
        self.end_headers()
        while line := self.rfile.readline():
            self.wfile.write(b"echo " + line)
        self.close_connection = True

    do_GET = do_POST = do_PUT = do_HEAD = do_DELETE = answer  # noqa: N815 - http.server's names

    def log_message(self, *_unused: object) -> None:
        """Say nothing."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 512  # as real servers have it; Python's own 5 refuses a browser's connections


class EchoUpstream:
    """An upstream on a port of its own, that remembers what it was asked for.

    ``statuses`` are answers by path; requests for ``/held`` are answered while ``held`` is set.
    """

    def __init__(self) -> None:
        self.paths: list[str] = []
        self.hosts: set[str] = set()
        self.statuses: dict[str, int] = {}
        self.held = threading.Event()
        self.held.set()
        handler = type("Handler", (EchoHandler,), {"upstream": self})
        self.server = _Server(("127.0.0.1", 0), handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"

    @property
    def requests(self) -> int:
        """How many there were."""
        return len(self.paths)

    def seen(self, path: str, host: str) -> None:
        """Remember a request."""
        self.paths.append(path)
        self.hosts.add(host)

    def __enter__(self) -> Self:
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_unused: object) -> None:
        self.held.set()
        self.server.shutdown()
        self.server.server_close()


def http(status: str, headers: dict[str, str] | None = None, body: str = "") -> bytes:
    """A whole HTTP/1.1 answer."""
    lines = [f"HTTP/1.1 {status}", *(f"{name}: {value}" for name, value in (headers or {}).items())]
    return ("\r\n".join([*lines, f"Content-Length: {len(body)}", "", ""]) + body).encode("latin-1")


YES = http("200 OK", dict(zip(IDENTITY, ("alice", "alice@home.example", "Alice%20A.", "local"), strict=True)))


class Gate:
    """A peer at the gate's socket that answers whatever a test says, to see what Caddy makes of it."""

    def __init__(self, path: Path) -> None:
        self.answer: Callable[[dict[str, str]], bytes] = lambda _unused: YES
        self.asked: list[dict[str, str]] = []
        gate = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                while line := self.rfile.readline():
                    headers = {":request": line.decode("latin-1").strip()}
                    while (field_line := self.rfile.readline().decode("latin-1").strip()) != "":
                        name, _unused, value = field_line.partition(":")
                        headers[name.lower()] = value.strip()
                    gate.asked.append(headers)
                    self.wfile.write(gate.answer(headers))

        class Server(socketserver.ThreadingUnixStreamServer):
            daemon_threads = True

        path.unlink(missing_ok=True)
        self.server = Server(str(path), Handler)

    def __enter__(self) -> Self:
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_unused: object) -> None:
        self.server.shutdown()
        self.server.server_close()


@dataclass
class Edge:
    """Caddy and the apply engine over a directory of a test's own."""

    place: Path
    binary: Path
    caddy: subprocess.Popen[bytes] | None = None
    http_port: int = field(default_factory=free_port)
    https_port: int = field(default_factory=free_port)
    environment: dict[str, str] = field(default_factory=dict)
    within: list[str] = field(default_factory=list)
    """A command that runs Caddy, such as ``unshare``; none: it runs by itself."""
    renewal_check: str = ""
    linger: str = "8h"

    def __post_init__(self) -> None:
        run = self.place / "run"
        for name in ("run", "data", "edge", "credentials", "storage"):
            (self.place / name).mkdir(exist_ok=True)
        self.context = RenderContext(
            http_port=self.http_port,
            https_port=self.https_port,
            admin_socket=str(run / "admin.sock"),
            gate_socket=str(run / "gate.sock"),
            panel_socket=str(run / "panel.sock"),
            credentials_dir=str(self.place / "credentials"),
            storage_dir=str(self.place / "storage"),
            edge_dir=str(self.place / "edge"),
            renewal_check=self.renewal_check,
            linger=self.linger,
            access_log=str(self.place / "access.log"),
            waf_log=str(self.place / "waf.log"),
        )
        self.settings = Settings(
            master_key=bytes(range(32)),
            data_dir=self.place / "data",
            edge_dir=self.place / "edge",
            caddy_socket=run / "admin.sock",
            gate_socket=run / "gate.sock",
            panel_socket=run / "panel.sock",
            epoch_file=run / "epoch",
            credentials_dir=self.place / "credentials",
            access_log=self.place / "access.log",
            caddy_binary=self.binary,
        )
        self.storage = Storage(self.settings.database, SystemClock())
        self.storage.migrate()
        self.vault = Vault(self.storage, self.settings.require_master_key())
        self.scrubber = Scrubber()
        self.audit = Audit(self.storage, self.vault, self.scrubber)
        self.secrets = NamedSecrets(self.storage, self.vault, self.audit, self.scrubber)
        self.epoch = EpochWriter(self.settings.epoch_file)
        self.admin = CaddyAdmin(self.settings.caddy_socket)
        self.engine = ApplyEngine(
            self.settings,
            self.storage,
            self.vault,
            self.secrets,
            self.audit,
            self.epoch,
            self.scrubber,
            context=self.context,
            caddy=self.admin,
        )

    def __enter__(self) -> Self:
        admin = {"listen": f"unix/{self.context.admin_socket}|0660", "config": {"persist": False}}
        bootstrap = self.place / "bootstrap.json"
        bootstrap.write_text(json.dumps({"admin": admin}))
        self.start(bootstrap)
        return self

    def __exit__(self, *_unused: object) -> None:
        self.stop()
        self.epoch.close()
        self.storage.close()

    def start(self, config: Path) -> None:
        """Run Caddy on ``config``."""
        home = {"HOME": str(self.place), "PATH": os.environ["PATH"], "PLANTED_SECRET": "value-of-the-environment"}
        home |= self.environment
        with (self.place / "caddy.out").open("ab") as out:
            self.caddy = subprocess.Popen(
                [*self.within, str(self.binary), "run", "--config", str(config)], stdout=out, stderr=out, env=home
            )
        until(self._answers, told=lambda: (self.place / "caddy.out").read_text()[-2000:])

    def _answers(self) -> bool:
        try:
            self.admin.config()
        except CaddyUnreachable:
            return False
        return True

    def stop(self, *, kill: bool = False) -> None:
        """End Caddy."""
        if self.caddy is not None:
            (self.caddy.kill if kill else self.caddy.terminate)()
            try:
                self.caddy.wait(15)
            except subprocess.TimeoutExpired:  # it waits for what is under way, and systemd does not wait with it
                self.caddy.kill()
                self.caddy.wait(60)
            self.caddy = None

    def apply(self, hosts: list[dict[str, Any]], **document: Any) -> Outcome:
        """Declare hosts under a panel at argos.home.example."""
        edge = {"panel_host": PANEL, "parent_domain": "home.example", **document.pop("edge", {})}
        settings = {"edge": edge, "crowdsec": {"enabled": False}, **document.pop("settings", {})}
        raw = {"owner": "test", "settings": settings, "hosts": hosts, **document}
        return self.engine.apply(ACTOR, decode_document(raw))

    def ask(
        self,
        host: str,
        path: str = "/",
        headers: str = "",
        *,
        method: str = "GET",
        body: bytes = b"",
        sni: str | None = None,
        plain: bool = False,
    ) -> Answer:
        """One raw request; ``headers`` are whole lines, each ended by CRLF."""
        length = f"Content-Length: {len(body)}\r\n" if body else ""
        close = "" if "connection:" in headers.lower() else "Connection: close\r\n"
        head = f"{method} {path} HTTP/1.1\r\nHost: {host}\r\n{headers}{length}{close}\r\n"
        return self.raw(head.encode("latin-1") + body, sni or host, plain=plain)

    def raw(self, request: bytes, sni: str, *, plain: bool = False) -> Answer:
        """Send bytes, read to the end."""
        with self.connect(sni, plain=plain) as stream:
            stream.sendall(request)
            received = b""
            while chunk := stream.recv(65536):
                received += chunk
                if _whole(received):
                    break
        return _parse(received)

    def connect(self, sni: str, *, plain: bool = False) -> socket.socket:
        """A connection to the edge, with TLS unless ``plain``."""
        if plain:
            return socket.create_connection(("127.0.0.1", self.http_port), timeout=60)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        deadline = time.monotonic() + 60
        while True:
            stream = socket.create_connection(("127.0.0.1", self.https_port), timeout=60)
            try:
                return context.wrap_socket(stream, server_hostname=sni)
            except ssl.SSLError:
                # Caddy's own CA issues a new host's certificate just after the load was answered.
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)

    def log_lines(self) -> list[dict[str, Any]]:
        """The access log so far."""
        text = Path(self.context.access_log).read_text()
        return [json.loads(line) for line in text.splitlines()]


def _whole(received: bytes) -> bool:
    head, separator, body = received.partition(b"\r\n\r\n")
    if not separator:
        return False
    for line in head.split(b"\r\n"):
        name, _unused, value = line.partition(b":")
        if name.lower() == b"content-length":
            return len(body) >= int(value)
    return False


def _parse(received: bytes) -> Answer:
    head, _unused, body = received.partition(b"\r\n\r\n")
    lines = head.decode("latin-1").split("\r\n")
    pairs = [line.partition(":") for line in lines[1:]]
    headers = [(name, value.strip()) for name, _unused, value in pairs]
    status = int(lines[0].split()[1]) if lines[0] else 0
    if any(name.lower() == "transfer-encoding" for name, _unused in headers):
        body = _dechunk(body)
    return Answer(status, headers, body)


def _dechunk(body: bytes) -> bytes:
    whole = b""
    while body:
        size, _unused, body = body.partition(b"\r\n")
        length = int(size or b"0", 16)
        if length == 0:
            break
        whole += body[:length]
        body = body[length + 2 :]
    return whole
