"""A certificate authority of the tests' own, and what it issues."""

from __future__ import annotations

import datetime
import ipaddress
import ssl
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


class Authority:
    """Issues certificates below ``place``."""

    def __init__(self, place: Path, name: str = "The mail tests' CA") -> None:
        self._place = place
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        own = self._signed(self._name, self._key, x509.BasicConstraints(ca=True, path_length=0))
        self.pem = own.decode()

    def context(self, name: str, *, signed_by_itself: bool = False) -> ssl.SSLContext:
        """A server's TLS for ``name``, which may be an address."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        certificate = self._signed(subject, key, _names(name), by=key if signed_by_itself else None)
        path = self._place / f"{name.replace(':', '_')}-{int(signed_by_itself)}.pem"
        pkcs8, no_password = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        path.write_bytes(certificate + key.private_bytes(serialization.Encoding.PEM, pkcs8, no_password))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(path)
        return context

    def _signed(
        self,
        subject: x509.Name,
        key: ec.EllipticCurvePrivateKey,
        extension: x509.ExtensionType,
        by: ec.EllipticCurvePrivateKey | None = None,
    ) -> bytes:
        now = datetime.datetime.now(datetime.UTC)
        made = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name if by is None else subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(hours=1))
            .not_valid_after(now + datetime.timedelta(days=2))
            .add_extension(extension, critical=isinstance(extension, x509.BasicConstraints))
        )
        return made.sign(by or self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def _names(name: str) -> x509.SubjectAlternativeName:
    try:
        return x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(name))])
    except ValueError:
        return x509.SubjectAlternativeName([x509.DNSName(name)])
