"""A fake of two DNS providers' APIs in front of pebble's challenge server; README.md says what it proves."""

from __future__ import annotations

import json
import socketserver
import ssl
import struct
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit
from xml.etree import ElementTree

from sigv4 import signed_with

AWS = "https://route53.amazonaws.com/doc/2013-04-01/"
ZONE_ID = "ZTEST"
_SOA, _TXT = 6, "TXT"


@dataclass
class Zone:
    """One zone whose TXT records stand in the challenge server.

    Attributes:
        name: without a trailing dot.
        challenges: port of the challenge server's management.
        token: the one that Cloudflare's API takes.
        access_key_id: the one that Route 53's takes.
        secret_access_key: with which its requests must be signed.
        asked: methods and paths, in order.
    """

    name: str
    challenges: int
    token: str = ""
    access_key_id: str = ""
    secret_access_key: str = ""
    asked: list[str] = field(default_factory=list)
    records: dict[str, set[str]] = field(default_factory=dict)

    def put(self, name: str, values: set[str]) -> None:
        """Make ``values`` the TXT record of ``name``."""
        name = name.rstrip(".")
        assert name.endswith(f".{self.name}"), name
        self._tell("clear-txt", {"host": f"{name}."})
        self.records[name] = values
        for value in values:
            self._tell("set-txt", {"host": f"{name}.", "value": value})

    def _tell(self, path: str, body: dict[str, str]) -> None:
        url = f"http://127.0.0.1:{self.challenges}/{path}"
        urllib.request.urlopen(url, json.dumps(body).encode(), timeout=30).close()


class _Api(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    zone: Zone

    def handle_any(self) -> None:
        """Any request of either API."""
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        parts = urlsplit(self.path)
        self.zone.asked.append(f"{self.command} {parts.path}")
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        if parts.path.startswith("/2013-04-01/"):
            status, answer, kind = *self.route53(parts.path.removeprefix("/2013-04-01/"), body), "text/xml"
        else:
            status, answer, kind = (
                *self.cloudflare(parts.path.removeprefix("/client/v4/"), query, body),
                "application/json",
            )
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    do_GET = do_POST = do_DELETE = handle_any  # noqa: N815 - http.server's names

    def log_message(self, *_unused: object) -> None:
        """Say nothing."""

    def cloudflare(self, path: str, query: dict[str, str], body: bytes) -> tuple[int, bytes]:
        """What libdns/cloudflare asks: zones by name, records by type, name and content, one made, one deleted."""
        given = self.headers.get("Authorization", "").removeprefix("Bearer ")
        if given != self.zone.token:
            # The worst that a provider may do: it quotes the credential.
            return 403, _json([], f"token {given} may not edit this zone")
        if path == "zones":
            return 200, _json([{"id": ZONE_ID, "name": self.zone.name}])
        if self.command == "POST":
            record = json.loads(body)
            # A name may be written relative to its zone.
            name = f"{record['name'].rstrip('.').removesuffix('.' + self.zone.name)}.{self.zone.name}"
            self.zone.put(name, self.zone.records.get(name, set()) | {record["content"].strip('"')})
            return 200, _json(_cloudflare_record(name, record["content"]))
        if self.command == "DELETE":
            name, _unused, value = path.rpartition("/")[2].partition("|")
            self.zone.put(name, self.zone.records[name] - {value})
            return 200, _json(_cloudflare_record(name, value))
        name = query["name"].rstrip(".")
        return 200, _json([_cloudflare_record(name, value) for value in self.zone.records.get(name, ())])

    def route53(self, path: str, body: bytes) -> tuple[int, bytes]:
        """What libdns/route53 asks: zones by name, the records of one, a batch of changes."""
        secret, key_id = self.zone.secret_access_key, self.zone.access_key_id
        if not signed_with(secret, key_id, self.command, self.path, dict(self.headers.items()), body):
            error = "<Error><Code>SignatureDoesNotMatch</Code><Message>It is not signed with the key.</Message></Error>"
            return 403, f'<ErrorResponse xmlns="{AWS}">{error}</ErrorResponse>'.encode()
        if path.startswith("hostedzonesbyname"):
            zone = f"<Id>/hostedzone/{ZONE_ID}</Id><Name>{self.zone.name}.</Name><CallerReference>1</CallerReference>"
            return 200, _xml(
                "ListHostedZonesByName",
                f"<HostedZones><HostedZone>{zone}</HostedZone></HostedZones>"
                "<IsTruncated>false</IsTruncated><MaxItems>1</MaxItems>",
            )
        if self.command == "GET":
            sets = "".join(
                f"<ResourceRecordSet><Name>{name}.</Name><Type>TXT</Type><TTL>0</TTL><ResourceRecords>"
                + "".join(f'<ResourceRecord><Value>"{value}"</Value></ResourceRecord>' for value in sorted(values))
                + "</ResourceRecords></ResourceRecordSet>"
                for name, values in self.zone.records.items()
                if values
            )
            rest = "<IsTruncated>false</IsTruncated><MaxItems>300</MaxItems>"
            return 200, _xml("ListResourceRecordSets", f"<ResourceRecordSets>{sets}</ResourceRecordSets>{rest}")
        for change in ElementTree.fromstring(body).iter(f"{{{AWS}}}Change"):
            name = change.findtext(f".//{{{AWS}}}Name") or ""
            values = {(value.text or "").strip('"') for value in change.iter(f"{{{AWS}}}Value")}
            deleted = change.findtext(f"{{{AWS}}}Action") == "DELETE"
            self.zone.put(name, self.zone.records.get(name.rstrip("."), set()) - values if deleted else values)
        info = "<Id>/change/C1</Id><Status>INSYNC</Status><SubmittedAt>2026-01-01T00:00:00Z</SubmittedAt>"
        return 200, _xml("ChangeResourceRecordSets", f"<ChangeInfo>{info}</ChangeInfo>")


def _json(result: object, error: str = "") -> bytes:
    errors = [{"code": 9109, "message": error}] if error else []
    return json.dumps({"success": not error, "errors": errors, "messages": [], "result": result}).encode()


def _cloudflare_record(name: str, value: str) -> dict[str, object]:
    name, value = name.rstrip("."), value.strip('"')
    record = {"id": f"{name}|{value}", "type": _TXT, "name": name, "content": value, "ttl": 120}
    return record | {"zone_id": ZONE_ID}


def _xml(name: str, inner: str) -> bytes:
    return f'<?xml version="1.0"?><{name}Response xmlns="{AWS}">{inner}</{name}Response>'.encode()


@contextmanager
def serving(
    zone: Zone, address: str = "127.0.0.1", port: int = 0, tls: tuple[Path, Path] | None = None
) -> Iterator[int]:
    """Serve both APIs until the block ends, and give the port. ``tls``: files of a chain and its key."""
    handler = type("Api", (_Api,), {"zone": zone})
    server = ThreadingHTTPServer((address, port), handler)
    server.daemon_threads = True
    if tls:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*tls)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    with _running(server):
        yield server.server_address[1]


@contextmanager
def resolving(zone: Zone, dns: int) -> Iterator[str]:
    """A DNS server that says where the zone begins and passes all else to the challenge server; gives its address."""

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            question, reply = self.request
            name, kind = _question(question)
            if kind == _SOA:
                reply.sendto(_soa(question, name == zone.name), self.client_address)
            else:
                reply.sendto(_passed_on(question, dns), self.client_address)

    server = socketserver.ThreadingUDPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    with _running(server):
        yield f"127.0.0.1:{server.server_address[1]}"


@contextmanager
def _running(server: socketserver.BaseServer) -> Iterator[None]:
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()


def _question(packet: bytes) -> tuple[str, int]:
    labels, at = [], 12
    while length := packet[at]:
        labels.append(packet[at + 1 : at + 1 + length].decode().lower())
        at += 1 + length
    return ".".join(labels), struct.unpack("!H", packet[at + 1 : at + 3])[0]


def _soa(question: bytes, here: bool) -> bytes:
    end = 12 + question[12:].index(b"\0") + 5
    head = question[:2] + struct.pack("!HHHHH", 0x8580, 1, int(here), 0, 0)
    names = b"\x02ns\xc0\x0c\x05admin\xc0\x0c"
    data = names + struct.pack("!IIIII", 1, 60, 60, 60, 1)
    record = b"\xc0\x0c" + struct.pack("!HHIH", _SOA, 1, 1, len(data)) + data
    return head + question[12:end] + (record if here else b"")


def _passed_on(question: bytes, port: int) -> bytes:
    import socket

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stream:
        stream.settimeout(5)
        stream.sendto(question, ("127.0.0.1", port))
        return stream.recv(4096)
