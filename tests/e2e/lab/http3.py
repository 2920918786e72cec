"""One request over HTTP/3 from the namespace."""

from __future__ import annotations

import asyncio
import socket
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from aioquic.asyncio.protocol import QuicConnectionProtocol
from aioquic.h3.connection import H3_ALPN, H3Connection
from aioquic.h3.events import DataReceived, H3Event, HeadersReceived
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.connection import QuicConnection
from aioquic.quic.events import ConnectionTerminated, QuicEvent

from lab.guest import Guest
from lab.namespace import PublicNetwork


@dataclass
class Answer:
    """What came back on the one stream."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""


class _OneRequest(QuicConnectionProtocol):
    def __init__(self, quic: QuicConnection) -> None:
        super().__init__(quic)
        self._h3 = H3Connection(quic)
        self.answer = Answer()
        self.done: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()

    def ask(self, host: str, method: str, path: str, headers: dict[str, str], body: bytes) -> None:
        stream = self._quic.get_next_available_stream_id()
        pseudo = {":method": method, ":scheme": "https", ":authority": host, ":path": path}
        fields = {**pseudo, **{name.lower(): value for name, value in headers.items()}}
        pairs = [(name.encode(), value.encode()) for name, value in fields.items()]
        self._h3.send_headers(stream, pairs, end_stream=not body)
        if body:
            self._h3.send_data(stream, body, end_stream=True)
        self.transmit()

    def quic_event_received(self, event: QuicEvent) -> None:
        if isinstance(event, ConnectionTerminated) and not self.done.done():
            self.done.set_exception(ConnectionError(f"QUIC closed: {event.reason_phrase or event.error_code}"))
        for received in self._h3.handle_event(event):
            self._take(received)

    def _take(self, event: H3Event) -> None:
        if isinstance(event, HeadersReceived):
            fields = {name.decode(): value.decode() for name, value in event.headers}
            self.answer.status = int(fields.get(":status", self.answer.status))
            self.answer.headers.update(fields)
        elif isinstance(event, DataReceived):
            self.answer.body += event.data
        if getattr(event, "stream_ended", False) and not self.done.done():
            self.done.set_result(self.answer)


def ask(
    guest: Guest,
    network: PublicNetwork,
    host: str,
    path: str,
    *,
    method: str = "GET",
    headers: dict[str, str] | None = None,
    body: bytes = b"",
    source: str | None = None,
) -> Answer:
    """Send one request over HTTP/3 to the guest, verifying its certificate, and return the answer."""

    async def exchange() -> Answer:
        loop = asyncio.get_running_loop()
        configuration = QuicConfiguration(is_client=True, alpn_protocols=H3_ALPN, server_name=host)
        configuration.load_verify_locations(str(guest.ca))
        plain = network.socket(socket.SOCK_DGRAM, source or network.fresh_address())
        plain.setblocking(False)
        transport, protocol = await loop.create_datagram_endpoint(
            lambda: _OneRequest(QuicConnection(configuration=configuration)), sock=plain
        )
        try:
            protocol.connect((guest.address, 443))
            await asyncio.wait_for(protocol.wait_connected(), 60)
            protocol.ask(host, method, path, headers or {}, body)
            return await asyncio.wait_for(protocol.done, 60)
        finally:
            protocol.close()
            transport.close()

    with ThreadPoolExecutor(max_workers=1) as thread:  # a test's own thread may hold the browser's event loop
        return thread.submit(asyncio.run, exchange()).result()
