"""What the serving process owes its surroundings: a clean environment, a word to systemd, its log."""

from __future__ import annotations

import logging
import os
import socket
import sys

from argos.hardening import CHILD_ENVIRONMENT


def clean_environment() -> None:
    """Leave in this process's environment only what a child may inherit.

    To be called after the settings are read. ``NOTIFY_SOCKET`` stays until
    :func:`notify_ready` has used it.
    """
    kept = {"NOTIFY_SOCKET": os.environ["NOTIFY_SOCKET"]} if "NOTIFY_SOCKET" in os.environ else {}
    os.environ.clear()
    os.environ.update(CHILD_ENVIRONMENT, **kept)


def notify_ready() -> None:
    """Tell systemd that everything is served (sd_notify(3)); nothing outside systemd."""
    address = os.environ.pop("NOTIFY_SOCKET", "")
    if not address:
        return
    if address.startswith("@"):
        address = "\0" + address[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as peer:
        peer.sendto(b"READY=1", address)


def start_logging(level: str) -> None:
    """Log to standard error, one line an event; the journal adds the time."""
    logging.basicConfig(stream=sys.stderr, level=level, format="%(levelname)s %(name)s: %(message)s")
    logging.getLogger("waitress.queue").setLevel(logging.ERROR)
    logging.getLogger("alembic").setLevel(logging.WARNING)
