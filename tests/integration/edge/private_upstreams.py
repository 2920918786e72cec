"""An upstream with TLS, under a certificate authority that nobody else knows."""

from __future__ import annotations

import datetime
import ssl
import tempfile
from pathlib import Path
from typing import Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from edge_rig import EchoUpstream


class TlsUpstream(EchoUpstream):
    """Echoes over TLS; ``ca`` is the certificate of its authority in PEM."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.url = self.url.replace("http://", "https://")
        authority, certificate, key = _issue(name)
        self.ca = authority
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        with tempfile.TemporaryDirectory() as place:
            chain = Path(place) / "chain.pem"
            chain.write_text(key + certificate)
            context.load_cert_chain(chain)
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)

    def __enter__(self) -> Self:
        super().__enter__()
        return self


def _issue(name: str) -> tuple[str, str, str]:
    now = datetime.datetime.now(datetime.UTC)
    ca_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    ca_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "A test's own authority")])

    def builder(subject: x509.Name, public: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(ca_name)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(hours=1))
            .not_valid_after(now + datetime.timedelta(days=30))
        )

    authority = (
        builder(ca_name, ca_key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(ca_key, hashes.SHA256())
    )
    leaf = (
        builder(x509.Name([]), key.public_key())
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=True)
        .sign(ca_key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    pem = serialization.Encoding.PEM
    return authority.public_bytes(pem).decode(), leaf.public_bytes(pem).decode(), private.decode()
