"""An application to put behind the edge: it says exactly what it was sent. Standard library only.

    argos-sample.py [ADDRESS:PORT]        (127.0.0.1:8081)

Every path that is not named below answers with the echo: JSON of method, path (raw), headers (in order, duplicates
and all), body_length and body_sha256.

    /                      a page for people (only to browsers: Accept names text/html)
    /sse?count=&interval=  server-sent events, one each `interval` seconds (default 5 of 0.5 s; at most 1000, 60 s)
    /ws                    WebSocket (RFC 6455) that sends back each text and binary message
    /slow?seconds=         the echo, after up to 60 seconds
    /set-cookie?c=         the echo, with a Set-Cookie for each `c`, as a hostile application would send it
    /upload                the echo; takes any method and body, Content-Length or chunked
    /status/<code>         the echo with this status, 200 to 599

It trusts its proxy and limits only what could fill memory: it keeps no body.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
import math
import socket
import struct
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

WEBSOCKET_KEY = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455 §1.3
LONGEST_MESSAGE = 16 * 1024 * 1024
CHUNK = 64 * 1024
FORBIDDEN_IN_HEADER = {"\r", "\n", "\0"}

PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>A sample application</title>
<meta name="viewport" content="width=device-width">
<style>
 body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 44rem; margin: 3rem auto; padding: 0 1rem }}
 table {{ border-collapse: collapse; width: 100% }} td, th {{ text-align: left; padding: .2rem .8rem .2rem 0;
 border-bottom: 1px solid #8884; overflow-wrap: anywhere; vertical-align: top }} th {{ white-space: nowrap }}
</style>
<h1>A sample application</h1>
<p id="who">{who}</p>
<p>This page is served by a small program behind the edge. It was sent this request:</p>
<p><code>{method} {path}</code></p>
<table id="headers">{rows}</table>
</html>
"""


class BadRequest(Exception):
    """The request cannot be read; the text says why."""


class Sample(BaseHTTPRequestHandler):
    """Answers one connection's requests."""

    protocol_version = "HTTP/1.1"
    server_version = "argos-sample"
    sys_version = ""
    timeout = 120

    def answer(self) -> None:
        """Route one request, whatever its method."""
        target = urlsplit(self.path)
        query = parse_qs(target.query, keep_blank_values=True)
        try:
            if target.path == "/sse":
                self.read_body()
                self.send_events(query)
            elif target.path == "/ws" and self.headers.get("Upgrade", "").lower() == "websocket":
                self.talk_websocket()
            else:
                self.answer_plain(target.path, query)
        except BadRequest as problem:
            self.close_connection = True
            self.send_json(400, {"error": str(problem)}, [])
        except (ConnectionError, TimeoutError):
            self.close_connection = True

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = do_PROPFIND = answer  # noqa: N815

    def answer_plain(self, path: str, query: dict[str, list[str]]) -> None:
        """Send the echo, as the path asks for it."""
        length, digest = self.read_body()
        status, cookies = 200, []
        if path == "/slow":
            time.sleep(number(query, "seconds", 1.0, 60.0))
        elif path == "/set-cookie":
            cookies = query.get("c", [])
        elif path.startswith("/status/"):
            code = path.removeprefix("/status/")
            status = int(code) if code.isdigit() and 200 <= int(code) <= 599 else 400
        elif path == "/" and "text/html" in self.headers.get("Accept", ""):
            self.send_page()
            return
        self.send_json(status, self.echo(length, digest), cookies)

    def echo(self, length: int, digest: str) -> dict[str, object]:
        """Return what was received."""
        return {
            "method": self.command,
            "path": self.path,
            "headers": [[name, value] for name, value in self.headers.items()],
            "body_length": length,
            "body_sha256": digest,
        }

    def send_json(self, status: int, content: dict[str, object], cookies: list[str]) -> None:
        """Send JSON, and the cookies as they are."""
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Cache-Control", "no-store")
        for cookie in cookies:
            if not FORBIDDEN_IN_HEADER & set(cookie):
                self.send_header("Set-Cookie", cookie)
        if self.close_connection:
            self.send_header("Connection", "close")
        bodiless = self.command == "HEAD" or status in (204, 304)
        if status != 204:
            self.send_header("Content-Length", "0" if status == 304 else str(len(body)))
        self.end_headers()
        if not bodiless:
            self.wfile.write(body)

    def send_page(self) -> None:
        """Send the page for people."""
        user = self.headers.get("X-Auth-User", "")
        rows = "".join(
            f"<tr><th>{html.escape(name)}</th><td>{html.escape(value)}</td></tr>"
            for name, value in self.headers.items()
        )
        who = f"You are signed in as <strong>{html.escape(user)}</strong>." if user else "Nobody is signed in here."
        body = PAGE.format(who=who, method=html.escape(self.command), path=html.escape(self.path), rows=rows).encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def read_body(self) -> tuple[int, str]:
        """Read the body to its end; return its length in bytes and SHA-256.

        Raises:
            BadRequest: its framing is broken.
        """
        digest, length = hashlib.sha256(), 0
        for piece in self.body_pieces():
            digest.update(piece)
            length += len(piece)
        return length, digest.hexdigest()

    def body_pieces(self):
        """Yield the body, a piece at a time (RFC 9112 §6, §7.1)."""
        if "chunked" in self.headers.get("Transfer-Encoding", "").lower():
            while size := self.chunk_size():
                yield from self.exactly(size)
                self.rfile.readline(3)
            while self.rfile.readline(CHUNK) not in (b"\r\n", b"\n", b""):
                pass  # trailers
            return
        declared = self.headers.get("Content-Length", "0")
        if not declared.isdigit():
            raise BadRequest("Content-Length is no number")
        yield from self.exactly(int(declared))

    def chunk_size(self) -> int:
        """Read a chunk's first line."""
        try:
            return int(self.rfile.readline(1024).split(b";")[0].strip(), 16)
        except ValueError:
            raise BadRequest("a chunk's size is no number") from None

    def exactly(self, size: int):
        """Yield this many bytes.

        Raises:
            BadRequest: the connection ended before.
        """
        while size > 0:
            piece = self.rfile.read(min(size, CHUNK))
            if not piece:
                raise BadRequest("the body ended early")
            size -= len(piece)
            yield piece

    def send_events(self, query: dict[str, list[str]]) -> None:
        """Send server-sent events, each as soon as it is due; the connection's end ends them."""
        count = int(number(query, "count", 5, 1000))
        interval = number(query, "interval", 0.5, 60.0)
        self.close_connection = True
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Cache-Control", "no-store")
        self.send_header("Connection", "close")
        self.end_headers()
        for index in range(count):
            if index:
                time.sleep(interval)
            self.wfile.write(f"id: {index}\ndata: {json.dumps({'event': index, 'at': time.time()})}\n\n".encode())
            self.wfile.flush()

    def talk_websocket(self) -> None:
        """Shake hands, then send every message back until the other side closes."""
        key = self.headers.get("Sec-WebSocket-Key", "")
        accept = base64.b64encode(hashlib.sha1(key.encode() + WEBSOCKET_KEY).digest()).decode()  # noqa: S324
        self.close_connection = True
        self.send_response(101)
        self.send_header("Upgrade", "websocket")
        self.send_header("Connection", "Upgrade")
        self.send_header("Sec-WebSocket-Accept", accept)
        self.end_headers()
        self.connection.settimeout(3600)
        message, kind = b"", 1
        while (frame := self.read_frame()) is not None:
            final, opcode, payload = frame
            if opcode == 8:
                self.send_frame(8, payload[:125])
                return
            if opcode == 9:
                self.send_frame(10, payload)
                continue
            if opcode == 10:
                continue
            kind = opcode or kind
            message += payload
            if len(message) > LONGEST_MESSAGE:
                self.send_frame(8, struct.pack(">H", 1009))
                return
            if final:
                self.send_frame(kind, message)
                message = b""

    def read_frame(self) -> tuple[bool, int, bytes] | None:
        """Read one frame (RFC 6455 §5.2); None at the connection's end."""
        head = self.rfile.read(2)
        if len(head) < 2:
            return None
        length = head[1] & 0x7F
        if length == 126:
            length = struct.unpack(">H", self.rfile.read(2))[0]
        elif length == 127:
            length = struct.unpack(">Q", self.rfile.read(8))[0]
        if length > LONGEST_MESSAGE or not head[1] & 0x80:
            return None
        mask = self.rfile.read(4)
        payload = self.rfile.read(length)
        if len(payload) < length:
            return None
        keys = (mask * (length // 4 + 1))[:length]
        plain = (int.from_bytes(payload, "big") ^ int.from_bytes(keys, "big")).to_bytes(length, "big")
        return bool(head[0] & 0x80), head[0] & 0x0F, plain

    def send_frame(self, opcode: int, payload: bytes) -> None:
        """Send one whole, unmasked frame."""
        length = len(payload)
        if length < 126:
            head = struct.pack(">BB", 0x80 | opcode, length)
        elif length < 65536:
            head = struct.pack(">BBH", 0x80 | opcode, 126, length)
        else:
            head = struct.pack(">BBQ", 0x80 | opcode, 127, length)
        self.wfile.write(head + payload)
        self.wfile.flush()

    def log_message(self, *_arguments: object) -> None:
        """Keep quiet: the edge has an access log."""


def number(query: dict[str, list[str]], name: str, default: float, most: float) -> float:
    """Return a number of the query, between 0 and the most.

    Raises:
        BadRequest: it is none.
    """
    try:
        value = float(query.get(name, [str(default)])[0])
    except ValueError:
        raise BadRequest(f"{name} is no number") from None
    return default if math.isnan(value) else min(max(value, 0.0), most)


class Server(ThreadingHTTPServer):
    """A thread for each connection."""

    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 128

    def get_request(self) -> tuple[socket.socket, object]:
        """Accept a connection that sends small answers at once."""
        connection, address = super().get_request()
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection, address


def main() -> None:
    """Serve until stopped."""
    address, _unused, port = (sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1:8081").rpartition(":")
    with Server((address, int(port)), Sample) as server:
        server.serve_forever()


if __name__ == "__main__":
    main()
