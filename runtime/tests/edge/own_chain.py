"""A certificate of an operator's own for every name below home.example, in PEM; made anew for each run."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding


def _chain() -> str:
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([])
    made = x509.CertificateBuilder(name, name, key.public_key(), 1)
    made = made.not_valid_before(datetime.now(UTC) - timedelta(days=1))
    made = made.not_valid_after(datetime.now(UTC) + timedelta(days=60))
    covered = [x509.DNSName(name) for name in ("*.home.example", "*.a.home.example", *WWW)]
    made = made.add_extension(x509.SubjectAlternativeName(covered), critical=True)
    made = made.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    return made.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM).decode()


WWW = tuple(f"www.{name}.home.example" for name in "abcd")
CHAIN = _chain()
