"""A real SMTP server (aiosmtpd), honest or hostile, which keeps what it was sent; and one that follows a script."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import email
import email.policy
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from email.message import EmailMessage
from typing import Any, cast

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session
from argos.audit import Actor
from ports import free_port

NAME = "127.0.0.1"
PASSWORD = "relay password: ü%+/=1"
CLI = Actor(kind="cli", name="root")


class MailServer:
    """One server, on loopback unless ``address`` says where.

    Args:
        tls: its certificate; None speaks in clear.
        implicit: TLS from the first byte, not by STARTTLS.
        accounts: user names and passwords; none: nobody has to sign in.
        says: what it answers to a message, instead of taking it.
        auth_says: what it answers to a sign-in that fails; ``{0}`` stands for the password as it came.
    """

    def __init__(
        self,
        tls: ssl.SSLContext | None,
        *,
        implicit: bool = False,
        accounts: dict[str, str] | None = None,
        says: str = "",
        auth_says: str = "535 5.7.8 Authentication credentials invalid",
        refuses: tuple[str, ...] = (),
        address: str = NAME,
    ) -> None:
        self.port = free_port()
        self.raw: list[bytes] = []
        self.envelopes: list[Envelope] = []
        self.heard: list[str] = []
        self.meanwhile: Callable[[], object] = lambda: None  # done while a message is on its way
        self._closed = False
        self._accounts, self._refuses = accounts or {}, refuses
        self.says, self.auth_says = says, auth_says
        options: dict[str, Any] = {"hostname": address, "port": self.port, "ready_timeout": 60}
        options["server_hostname"] = "mail.example"  # else it asks DNS for this machine's, and all wait for that
        if implicit:
            options["ssl_context"] = tls
        elif tls is not None:
            options |= {"tls_context": tls, "require_starttls": True}
        if accounts:
            options |= {"authenticator": self._authenticate, "auth_required": True, "auth_require_tls": not implicit}
        self._controller = Controller(self, **options)
        self._controller.start()

    def messages(self) -> list[EmailMessage]:
        """What was taken, as a mail reader sees it."""
        return [cast("EmailMessage", email.message_from_bytes(raw, policy=email.policy.default)) for raw in self.raw]

    def close(self) -> None:
        """Stop it, if nobody did."""
        if not self._closed:
            self._controller.stop()
        self._closed = True

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's hook
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        """Take a recipient, or not."""
        if address in self._refuses:
            return "550 5.1.1 no such user"
        envelope.rcpt_tos.append(address)
        envelope.rcpt_options.extend(options)
        return "250 OK"

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802
        """Take a message."""
        if self.says:
            return self.says.format(self.heard[-1] if self.heard else "")
        await asyncio.get_running_loop().run_in_executor(None, self.meanwhile)
        self.raw.append(cast("bytes", envelope.original_content))
        self.envelopes.append(envelope)
        return "250 OK"

    def _authenticate(self, _server: SMTP, _session: Session, _envelope: Envelope, _how: str, data: Any) -> AuthResult:
        assert isinstance(data, LoginPassword)
        password = data.password.decode()
        self.heard.append(password)
        if self._accounts.get(data.login.decode()) == password:
            return AuthResult(success=True)
        said = self.auth_says.format(password, base64.b64encode(data.password).decode())
        return AuthResult(success=False, handled=False, message=said)


class Scripted:
    """A peer that does what ``play`` says to each connection, and keeps all bytes that it was sent."""

    def __init__(self, play: Callable[[Scripted, socket.socket], None]) -> None:
        self.port = free_port()
        self.received = b""
        self.over = threading.Event()
        self.played = threading.Event()  # a connection came to its end
        self._play = play
        self._listener = socket.create_server((NAME, self.port))
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def hear(self, channel: socket.socket) -> bytes:
        """Whatever comes next; empty at the end."""
        with contextlib.suppress(OSError):
            heard = channel.recv(4096)
            self.received += heard
            return heard
        return b""

    def close(self) -> None:
        """Stop it."""
        self.over.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(10)

    def _serve(self) -> None:
        while not self.over.is_set():
            try:
                channel, _address = self._listener.accept()
            except OSError:
                return
            with channel, contextlib.suppress(OSError):
                self._play(self, channel)
            self.played.set()


@contextlib.contextmanager
def running(server: MailServer | Scripted) -> Iterator[Any]:
    """It, until the end."""
    try:
        yield server
    finally:
        server.close()
