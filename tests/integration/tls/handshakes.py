"""What a client is shown."""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Callable

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
        socket.create_connection(("127.0.0.1", edge.https_port), timeout=10) as plain,
        context.wrap_socket(plain, server_hostname=name) as stream,
    ):
        der = stream.getpeercert(binary_form=True)
    assert der
    return x509.load_der_x509_certificate(der)


def issued_by_pebble(certificate: x509.Certificate) -> bool:
    """Whether pebble signed it."""
    return "Pebble" in certificate.issuer.rfc4514_string()


def until(seconds: float, what: Callable[[], bool], told: Callable[[], object] = lambda: "") -> None:
    """Wait until ``what`` holds; a failed handshake is a no."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            if what():
                return
        except OSError:
            pass
        assert time.monotonic() < deadline, told()
        time.sleep(0.1)
