"""HTTP/2 to upstreams: without TLS, and gRPC as a stream in both directions."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from typing import Self

import pytest
from edge_rig import Edge
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import DataReceived, Event, RequestReceived, ResponseReceived, StreamEnded, TrailersReceived

HOST = "calls.home.example"


class H2Upstream:
    """Speaks HTTP/2 without TLS: answers each request at once, echoes its body, ends with trailers as gRPC does."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        self.requests: list[dict[str, str]] = []

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_unused: object) -> None:
        self.listener.close()

    def _accept(self) -> None:
        while True:
            try:
                stream, _unused = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(stream,), daemon=True).start()

    def _serve(self, stream: socket.socket) -> None:
        connection = H2Connection(H2Configuration(client_side=False, header_encoding="utf-8"))
        connection.initiate_connection()
        stream.sendall(connection.data_to_send())
        while received := stream.recv(65536):
            for event in connection.receive_data(received):
                self._answer(connection, event)
            stream.sendall(connection.data_to_send())
        stream.close()

    def _answer(self, connection: H2Connection, event: Event) -> None:
        if isinstance(event, RequestReceived):
            self.requests.append(dict(event.headers))
            connection.send_headers(event.stream_id, [(":status", "200"), ("content-type", "application/grpc")])
        elif isinstance(event, DataReceived):
            connection.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            connection.send_data(event.stream_id, event.data)
        elif isinstance(event, StreamEnded):
            connection.send_headers(event.stream_id, [("grpc-status", "0")], end_stream=True)


class Call:
    """One request over HTTP/2 to the edge, piece by piece."""

    def __init__(self, edge: Edge, kind: str) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.set_alpn_protocols(["h2"])
        edge.connect(HOST).close()  # waits for the certificate
        plain = socket.create_connection(("127.0.0.1", edge.https_port), timeout=60)
        self.stream = context.wrap_socket(plain, server_hostname=HOST)
        self.connection = H2Connection(H2Configuration(header_encoding="utf-8"))
        self.connection.initiate_connection()
        pseudo = [(":method", "POST"), (":path", "/shop.Orders/Watch"), (":authority", HOST), (":scheme", "https")]
        self.connection.send_headers(1, [*pseudo, ("content-type", kind), ("te", "trailers")])
        self.status, self.body, self.trailers, self.ended = "", b"", dict[str, str](), False
        self._flush()

    def send(self, body: bytes, *, end: bool = False) -> None:
        """One piece of the request."""
        self.connection.send_data(1, body, end_stream=end)
        self._flush()

    def wait(self, body: bytes | None) -> None:
        """Read until the answer holds ``body``, or to its end."""
        while not self.ended and (body is None or body not in self.body):
            received = self.stream.recv(65536)
            assert received, "the edge closed the connection"
            for event in self.connection.receive_data(received):
                self._take(event)
            self._flush()

    def _take(self, event: Event) -> None:
        if isinstance(event, ResponseReceived):
            self.status = dict(event.headers)[":status"]
        elif isinstance(event, DataReceived):
            self.body += event.data
            self.connection.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, TrailersReceived):
            self.trailers = dict(event.headers)
        elif isinstance(event, StreamEnded):
            self.ended = True

    def _flush(self) -> None:
        self.stream.sendall(self.connection.data_to_send())


@pytest.fixture
def upstream() -> Iterator[H2Upstream]:
    """An upstream that knows HTTP/2 alone."""
    with H2Upstream() as running:
        yield running


def test_h2c_reaches_an_upstream_that_knows_http_2_alone(edge: Edge, upstream: H2Upstream) -> None:
    edge.apply([{"name": HOST, "upstreams": [{"url": upstream.url}], "proxy": {"h2c": True}}])
    assert edge.ask(HOST, "/x?y").status == 200
    (request,) = upstream.requests
    assert (request[":path"], request[":authority"]) == ("/x?y", HOST)


def test_a_grpc_call_streams_both_ways_past_the_waf_and_keeps_its_trailers(edge: Edge, upstream: H2Upstream) -> None:
    edge.apply([{"name": HOST, "upstreams": [{"url": upstream.url}], "grpc": True, "waf": {"mode": "block"}}])
    call = Call(edge, "application/grpc")
    for piece in (b"\x00\x00\x00\x00\x05first", b"\x00\x00\x00\x00\x0c<script>1=1--"):
        call.send(piece)
        call.wait(piece)  # before the request has ended
    call.send(b"last", end=True)
    call.wait(None)
    assert (call.status, call.trailers) == ("200", {"grpc-status": "0"})
    assert upstream.requests[0]["te"] == "trailers"


@pytest.mark.threat("ING-1")
def test_a_grpc_host_still_inspects_what_is_no_call(edge: Edge, upstream: H2Upstream) -> None:
    edge.apply([{"name": HOST, "upstreams": [{"url": upstream.url}], "grpc": True, "waf": {"mode": "block"}}])
    call = Call(edge, "application/x-www-form-urlencoded")
    call.send(b"q=%3Cscript%3Ealert(1)%3C/script%3E", end=True)
    call.wait(None)
    assert call.status == "403"
    assert upstream.requests == []
