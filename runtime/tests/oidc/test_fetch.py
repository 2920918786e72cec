"""The one HTTP client that asks the provider: whom it trusts."""

from __future__ import annotations

import datetime
import ssl
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from ipaddress import IPv4Address
from pathlib import Path

import pytest
from argos.oidc.errors import ProviderUnavailable
from argos.oidc.fetch import Fetcher
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


class Answer(BaseHTTPRequestHandler):
    """An empty JSON object, whatever is asked."""

    def do_GET(self) -> None:
        """Answer."""
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_unused: object) -> None:
        """Say nothing."""


def certificate(place: Path) -> Path:
    """Write a key with a certificate for 127.0.0.1 that it signed itself; return the file."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.datetime.now(datetime.UTC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "home CA")])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem, pkcs8 = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    place.write_bytes(made.public_bytes(pem) + key.private_bytes(pem, pkcs8, serialization.NoEncryption()))
    return place


def test_a_ca_that_the_operator_adds_or_renews_counts_without_a_restart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trusted = tmp_path / "trusted.pem"
    monkeypatch.setenv("SSL_CERT_FILE", str(trusted))
    for round_ in ("first", "renewed under its old name"):
        pem = certificate(tmp_path / "server.pem")
        with HTTPServer(("127.0.0.1", 0), Answer) as server:
            context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            context.load_cert_chain(pem)
            server.socket = context.wrap_socket(server.socket, server_side=True)
            threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
            fetcher = Fetcher(f"https://127.0.0.1:{server.server_port}")
            with pytest.raises(ProviderUnavailable, match="certificate"):
                fetcher.get(f"https://127.0.0.1:{server.server_port}/")
            trusted.write_bytes(pem.read_bytes())
            assert fetcher.get(f"https://127.0.0.1:{server.server_port}/") == {}, round_
            server.shutdown()
