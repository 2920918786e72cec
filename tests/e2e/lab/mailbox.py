"""A mail server on the guest's bridge, as a relay in the home network is: the one of tests/integration/mail."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from lab.guest import CHECKOUT, Guest

for place in ("mail", "."):
    sys.path.insert(0, str(CHECKOUT / "tests" / "integration" / place))

from authority import Authority  # noqa: E402
from smtp_server import MailServer  # noqa: E402

PASSWORD = "e2e relay: planted-smtp-password %+/=1"


@dataclass(frozen=True)
class Mailbox:
    """A running server, and the authority that vouches for it."""

    address: str
    server: MailServer
    authority: str


@contextlib.contextmanager
def mailbox(guest: Guest, scratch: Path) -> Iterator[Mailbox]:
    """Run one that wants STARTTLS and a sign-in."""
    authority = Authority(scratch)
    server = MailServer(authority.context(guest.gateway), accounts={"argos": PASSWORD}, address=guest.gateway)
    try:
        yield Mailbox(guest.gateway, server, authority.pem)
    finally:
        server.close()
