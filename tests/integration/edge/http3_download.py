"""One download over HTTP/3 from the test's edge: ``python http3_download.py PORT HOST PATH FILE``."""

from __future__ import annotations

import asyncio
import ssl
import sys
from pathlib import Path

from aioquic.asyncio.client import connect
from aioquic.asyncio.protocol import QuicConnectionProtocol
from aioquic.h3.connection import H3_ALPN, H3Connection
from aioquic.h3.events import DataReceived
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.events import ConnectionTerminated, QuicEvent


class Download(QuicConnectionProtocol):
    """Writes what comes to a file; ``ended`` holds how it ended."""

    def begin(self, host: str, path: str, to: Path) -> asyncio.Future[str]:
        """Ask for ``path``."""
        self.file = to.open("wb")
        self.h3 = H3Connection(self._quic)
        self.ended: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        stream = self._quic.get_next_available_stream_id()
        pseudo = {":method": "GET", ":scheme": "https", ":authority": host, ":path": path}
        self.h3.send_headers(
            stream, [(name.encode(), value.encode()) for name, value in pseudo.items()], end_stream=True
        )
        self.transmit()
        return self.ended

    def quic_event_received(self, event: QuicEvent) -> None:
        """Take what came."""
        if not hasattr(self, "h3"):
            return
        if isinstance(event, ConnectionTerminated) and not self.ended.done():
            self.ended.set_result(f"closed: {event.reason_phrase or event.error_code}")
        for received in self.h3.handle_event(event):
            if isinstance(received, DataReceived):
                self.file.write(received.data)
                self.file.flush()
            if getattr(received, "stream_ended", False) and not self.ended.done():
                self.ended.set_result("")


async def download(port: int, host: str, path: str, to: Path) -> str:
    """Why it broke off, empty when it came to its end."""
    configuration = QuicConfiguration(is_client=True, alpn_protocols=H3_ALPN, server_name=host)
    configuration.verify_mode = ssl.CERT_NONE
    async with connect("127.0.0.1", port, configuration=configuration, create_protocol=Download) as protocol:
        assert isinstance(protocol, Download)
        return await protocol.begin(host, path, to)


if __name__ == "__main__":
    port, host, path, to = sys.argv[1:]
    sys.exit(asyncio.run(download(int(port), host, path, Path(to))) or None)
