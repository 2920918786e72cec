"""The sample upstream: answers every request with the header lines it was sent, as text.

Run as a process: ``python upstream.py PORT``. Small answers on keep-alive connections,
so that the edge before it is what costs.
"""

from __future__ import annotations

import asyncio
import sys

import httptools
import uvloop


class Echo(asyncio.Protocol):
    """One connection."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to parse."""
        self._transport = transport
        self._parser = httptools.HttpRequestParser(self)
        self._url = b""
        self._lines: list[bytes] = []

    def data_received(self, data: bytes) -> None:
        """Parse; a broken request ends the connection."""
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self._transport.close()

    def on_url(self, url: bytes) -> None:
        """Take the target."""
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header."""
        self._lines.append(name.lower() + b": " + value)

    def on_message_complete(self) -> None:
        """Answer ``/echo`` with what came, anything else with two octets."""
        body = b"\n".join(self._lines) if self._url.startswith(b"/echo") else b"ok"
        self._transport.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
        )
        self._url, self._lines = b"", []


async def serve(port: int) -> None:
    """Listen on loopback until the process ends."""
    server = await asyncio.get_running_loop().create_server(Echo, "127.0.0.1", port, backlog=1024)
    print("listens", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1])))
