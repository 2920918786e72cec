"""An operator's own certificate authority for upstreams, as it stands in a declaration: public data, in PEM."""

from __future__ import annotations

import base64
import re

_CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----([A-Za-z0-9+/=\s]+)-----END CERTIFICATE-----\s*")


def pem_problem(text: str) -> str | None:
    """What is wrong with one certificate or several in PEM, or None; an empty text is none at all."""
    if not text:
        return None
    if _CERTIFICATE.sub("", text).strip():
        return "holds something that is no certificate"
    from cryptography import x509

    try:
        x509.load_pem_x509_certificates(text.encode())
    except ValueError:
        return "holds a certificate that cannot be read"
    return None


def inline_certificates(pem: str) -> list[str]:
    """Each certificate of a checked PEM text in base64 of its DER, as Caddy's ``inline`` pool takes it."""
    return [base64.b64encode(base64.b64decode(found)).decode() for found in _CERTIFICATE.findall(pem)]
