"""Certificates of the operator's, as far as they can be judged without their key's use: pure functions of PEM texts."""

from __future__ import annotations

import hashlib
import itertools
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key
from cryptography.x509.oid import ExtensionOID, NameOID

MAX_CERTIFICATES = 10  # in a chain
_CHAIN = "a chain in PEM, its own certificate first, each issued by the next"


class BadChain(ValueError):
    """What a text is not, in the words of an error."""

    def __init__(self, problem: str, expected: str = _CHAIN) -> None:
        super().__init__(problem)
        self.problem, self.expected = problem, expected


@dataclass(frozen=True)
class Chain:
    """What a chain says.

    Attributes:
        pem: the chain, rewritten, so that white space makes no difference.
        names: the DNS names of its own certificate's SAN; its common name counts for nothing (RFC 9525 §6.3).
        not_before: Unix seconds.
        not_after: Unix seconds.
        issuer: common name or organisation.
        public_key: DER.
    """

    pem: str
    names: tuple[str, ...]
    not_before: int
    not_after: int
    issuer: str
    public_key: bytes

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the chain, the first 32 hex digits."""
        return hashlib.sha256(self.pem.encode()).hexdigest()[:32]

    def covers(self, host: str) -> bool:
        """Whether the certificate is for ``host``; a wildcard stands for one label (RFC 9525 §6.3)."""
        wild = f"*.{host.partition('.')[2]}"
        return host in self.names or (not host.startswith("*.") and wild in self.names)


@lru_cache(maxsize=64)
def read(text: str) -> Chain:
    """Read a chain.

    Raises:
        BadChain: it is none, or not in order.
    """
    found = _certificates(text)
    for below, above in itertools.pairwise(found):
        try:
            below.verify_directly_issued_by(above)
        except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
            subject = below.subject.rfc4514_string()[:80]
            raise BadChain(f"is out of order: {subject!r} is not issued by the certificate after it") from None
    leaf = found[0]
    names = _names(leaf)
    if not names:
        raise BadChain("names no host: its first certificate has no DNS name", "a server's certificate first")
    return Chain(
        pem=_pem(found),
        names=names,
        not_before=_seconds(leaf.not_valid_before_utc),
        not_after=_seconds(leaf.not_valid_after_utc),
        issuer=_issuer(leaf),
        public_key=leaf.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
    )


def read_roots(text: str) -> str:
    """Read trusted roots, in any order, and return them rewritten.

    Raises:
        BadChain: a certificate in it cannot be read.
    """
    return _pem(_certificates(text))


def key_problem(chain: Chain, key: str) -> str | None:
    """Say why ``key`` (PEM) does not go with ``chain``; never with a word of the key itself."""
    try:
        private = load_pem_private_key(key.encode(), password=None)
    except TypeError:
        return "is encrypted: Caddy could not start with it"
    except (ValueError, UnsupportedAlgorithm):
        return "is no private key in PEM"
    public = private.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return None if public == chain.public_key else "is not the key of this certificate"


def _certificates(text: str) -> list[x509.Certificate]:
    if "PRIVATE KEY" in text:
        # A spec is shown in diffs and audits.
        raise BadChain("holds a private key", "certificates alone; the key is a secret")
    try:
        found = x509.load_pem_x509_certificates(text.encode())
    except ValueError:
        raise BadChain("is no certificate in PEM") from None
    if len(found) > MAX_CERTIFICATES:
        raise BadChain(f"has {len(found)} certificates", f"at most {MAX_CERTIFICATES}")
    return found


def _names(leaf: x509.Certificate) -> tuple[str, ...]:
    try:
        names = leaf.extensions.get_extension_for_oid(ExtensionOID.SUBJECT_ALTERNATIVE_NAME).value
    except (x509.ExtensionNotFound, ValueError):
        return ()
    assert isinstance(names, x509.SubjectAlternativeName)  # noqa: S101 - the type of that extension
    return tuple(name.lower() for name in names.get_values_for_type(x509.DNSName))


def _issuer(leaf: x509.Certificate) -> str:
    for oid in (NameOID.COMMON_NAME, NameOID.ORGANIZATION_NAME):
        if values := leaf.issuer.get_attributes_for_oid(oid):
            return str(values[0].value)
    return leaf.issuer.rfc4514_string()


def _pem(certificates: list[x509.Certificate]) -> str:
    return "".join(certificate.public_bytes(Encoding.PEM).decode() for certificate in certificates)


def _seconds(when: datetime) -> int:
    return int(when.timestamp())
