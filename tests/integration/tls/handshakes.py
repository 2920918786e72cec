"""What a client is shown."""

from __future__ import annotations

import socket
import ssl

from cryptography import x509
from edge_rig import Edge


def shown(edge: Edge, name: str, version: ssl.TLSVersion | None = None) -> x509.Certificate:
    """The certificate of a handshake for ``name``.

    Raises:
        ssl.SSLError: the handshake fails.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if version:
        context.maximum_version = version
    with (
        socket.create_connection(("127.0.0.1", edge.https_port), timeout=30) as plain,
        context.wrap_socket(plain, server_hostname=name) as stream,
    ):
        der = stream.getpeercert(binary_form=True)
    assert der
    return x509.load_der_x509_certificate(der)


def issued_by_pebble(certificate: x509.Certificate) -> bool:
    """Whether pebble signed it."""
    return "Pebble" in certificate.issuer.rfc4514_string()
