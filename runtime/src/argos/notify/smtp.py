"""One message to one SMTP server that may be hostile (DEP-2): verified TLS before anything else, bounds on all of it.

APPSEC: a relay that strips STARTTLS, or shows another's certificate, gets neither the
password nor a message (RFC 8314 §4.1). What it says is scrubbed, cut and made printable
before anybody reads it, and of its answer to the sign-in only the codes are kept.
"""

from __future__ import annotations

import base64
import re
import smtplib
import socket
import ssl
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from argos import bounded_http
from argos.edge.model import MailSettings
from argos.edge.names import is_loopback, parse_address
from argos.notify.plain import plain
from argos.spellings import SHORTEST
from argos.steps import Step

SAYS_MOST = 64 * 1024
"""Bytes that a server may say in one connection: smtplib reads as many lines as it is sent."""
_SHOWN = 300  # characters of a server's words
_ENHANCED = re.compile(rb"[245]\.\d{1,3}\.\d{1,3}\b")  # RFC 3463 §2
_MEANINGS = {  # RFC 4954 §6
    432: "the password must be changed there first",
    454: "it cannot check the password now",
    530: "it wants another way of signing in",
    534: "it wants another way of signing in, such as an app password",
    535: "it does not take this user name and password",
    538: "it wants stronger encryption for signing in",
}


@dataclass(frozen=True)
class Letter:
    """A message as it goes over the wire, and to whom; ``hello`` is what this end calls itself (RFC 5321 §4.1.1.1)."""

    content: bytes = field(repr=False)
    recipients: tuple[str, ...]
    hello: str


def deliver(server: MailSettings, password: str, letter: Letter, scrub: Callable[[str], str]) -> list[Step]:
    """Hand ``letter`` over, and tell of each step; the last one tells whether it was accepted.

    Args:
        server: as declared, enabled or not.
        password: its value; empty where none is declared.
        letter: what goes to whom.
        scrub: takes known secrets out of a text.
    """
    return _Delivery(server, password, letter, scrub).run()


class _Problem(Exception):
    """Why a step failed, in words of ours."""


class _Delivery:
    def __init__(self, server: MailSettings, password: str, letter: Letter, scrub: Callable[[str], str]) -> None:
        self._server, self._password, self._letter, self._scrub = server, password, letter, scrub
        self._found: list[Any] = []
        self._channel: socket.socket | None = None
        self._mail: _Client | None = None
        self._alarm = threading.Timer(server.timeout, self._ring)
        self._rang = False

    def run(self) -> list[Step]:
        greeting, tls = ("greeting", self._greet), ("tls", self._secure)
        secured = {"tls": [tls, greeting], "starttls": [greeting, tls], "none": [greeting]}[self._server.security]
        sign_in = [("sign in", self._sign_in)] if self._server.username else []
        plan = [("resolve", self._resolve), ("connect", self._connect), *secured, *sign_in, ("accepted", self._send)]
        steps: list[Step] = []
        try:
            for name, attempt in plan:
                try:
                    steps.append(Step(name, True, attempt()))
                except (_Problem, OSError, smtplib.SMTPException, ValueError) as error:
                    steps.append(Step(name, False, self._reason(error, signing_in=name == "sign in")))
                    break
        finally:
            self._end()
        return steps

    def _resolve(self) -> str:
        server = self._server
        self._found = socket.getaddrinfo(server.host, server.port, type=socket.SOCK_STREAM)
        addresses = sorted({str(entry[4][0]) for entry in self._found})
        if server.security == "none" and not all(is_loopback(address, parse_address(address)) for address in addresses):
            raise _Problem("security is none, and the name leads to another machine")
        return f"{server.host} is {', '.join(addresses[:4])}"

    def _connect(self) -> str:
        self._channel = bounded_http.dial(self._found)
        self._channel.settimeout(self._server.timeout)
        # A timeout on each read lets a server drip for ever: from here on the whole has an end.
        self._alarm.daemon = True
        self._alarm.start()
        return f"port {self._server.port} is open"

    def _greet(self) -> str:
        self._mail = _Client(self._open(), self._server, self._letter.hello)
        self._mail.ehlo_or_helo_if_needed()
        return "a mail server answers"

    def _secure(self) -> str:
        context = _context(self._server.trusted_ca)
        if self._mail is None:
            name = self._server.host
            channel = context.wrap_socket(self._open(), server_hostname=name, do_handshake_on_connect=False)
            self._channel = channel
            channel.do_handshake()
        else:
            if not self._mail.has_extn("starttls"):
                raise _Problem(
                    "it does not offer STARTTLS, or something between takes the offer away; nothing was sent"
                )
            self._mail.starttls(context=context)
            channel = self._mail.sock  # type: ignore[assignment]  # an SSLSocket now
            self._mail.ehlo_or_helo_if_needed()  # RFC 3207 §4.2: what was said before counts no more
        return f"{channel.version()}, and the certificate is good for {self._server.host}"

    def _sign_in(self) -> str:
        """RFC 4954 with PLAIN (RFC 4616), or LOGIN where a server has nothing better; TLS is up or this is loopback."""
        mail, username, password = self._talk(), self._server.username, self._password
        if not password:
            raise _Problem("the secret that holds the password has no value")
        if "\0" in password:
            raise _Problem("the password holds a NUL, which cannot be sent (RFC 4616 §2)")
        offered = str(mail.esmtp_features.get("auth", "")).upper().split()
        if "PLAIN" in offered:
            code, said = mail.docmd("AUTH", f"PLAIN {_encoded(f'{chr(0)}{username}{chr(0)}{password}')}")
        elif "LOGIN" in offered:
            code, said = mail.docmd("AUTH", "LOGIN")
            for answer in (username, password):
                if code == 334:
                    code, said = mail.docmd(_encoded(answer))
        else:
            raise _Problem("it offers neither AUTH PLAIN nor AUTH LOGIN")
        if code != 235:
            raise smtplib.SMTPAuthenticationError(code, said)
        return f"as {username}"

    def _send(self) -> str:
        recipients = self._letter.recipients
        refused = self._talk().sendmail(self._server.sender, recipients, self._letter.content)
        if refused:
            return f"for {len(recipients) - len(refused)} of {len(recipients)}; {self._refusals(refused)}"
        return f"for {', '.join(recipients)}"

    def _open(self) -> socket.socket:
        if self._channel is None:
            raise _Problem("there is no connection")
        return self._channel

    def _talk(self) -> _Client:
        if self._mail is None:
            raise _Problem("no mail server has answered")
        return self._mail

    def _reason(self, error: Exception, *, signing_in: bool) -> str:
        slow = f"it took longer than {self._server.timeout} s"
        if isinstance(error, _Problem):
            said = str(error)
        elif self._rang or isinstance(error, TimeoutError):
            said = slow
        elif isinstance(error, smtplib.SMTPRecipientsRefused):
            said = self._refusals(error.recipients)
        elif isinstance(error, smtplib.SMTPResponseException):
            said = self._answer(error.smtp_code, error.smtp_error, signing_in=signing_in)
        elif isinstance(error, smtplib.SMTPServerDisconnected):
            # smtplib keeps of a timeout its words alone.
            said = slow if "timed out" in str(error) else "it closed the connection"
        elif isinstance(error, smtplib.SMTPException):
            said = f"what it says is not SMTP ({type(error).__name__})"
        elif isinstance(error, ssl.SSLCertVerificationError):
            said = f"its certificate is not accepted: {plain(error.verify_message, _SHOWN)}; nothing was sent"
        elif isinstance(error, ssl.SSLError):
            said = f"TLS 1.2 or later does not come about ({plain(error.reason or 'no TLS', 80)}); nothing was sent"
        else:
            said = plain(bounded_http.reason(error), _SHOWN)
        return said

    def _answer(self, code: int, said: bytes | str, *, signing_in: bool = False) -> str:
        raw = said.encode() if isinstance(said, str) else said
        if signing_in:
            # Whatever it makes of what it was just sent, in whatever spelling, goes no further than here.
            found = _ENHANCED.search(raw)
            exact = f" {found[0].decode()}" if found else ""
            return f"it answers {code}{exact}: {_MEANINGS.get(code, 'it refuses the sign-in')}"
        return f"it answers {code} {self._words(raw)}"

    def _words(self, raw: bytes) -> str:
        text = raw.decode("utf-8", "replace")
        squeezed = re.sub(r"\s+", "", text)
        if 0 < len(self._password) < SHORTEST or self._scrub(squeezed) != squeezed:
            return "with words that are withheld, as the password may stand in them"
        return plain(self._scrub(text), _SHOWN)

    def _refusals(self, refused: Mapping[str, tuple[int, bytes]]) -> str:
        return "; ".join(f"{who}: {self._answer(code, said)}" for who, (code, said) in refused.items())

    def _ring(self) -> None:
        self._rang = True
        channel = self._channel if self._mail is None else self._mail.sock
        if channel is not None:
            bounded_http.shut(channel)

    def _end(self) -> None:
        if self._mail is not None and not self._rang:
            with suppress(_Problem, OSError, smtplib.SMTPException, ValueError):
                self._mail.quit()
        self._alarm.cancel()
        if self._mail is not None:
            self._mail.close()
        if self._channel is not None:
            # What smtplib reads by keeps the descriptor when its greeting fails: the peer would wait on.
            bounded_http.shut(self._channel)
            self._channel.close()


class _Client(smtplib.SMTP):
    """smtplib over a connection that stands already, and reads :data:`SAYS_MOST` bytes at most."""

    def __init__(self, channel: socket.socket, server: MailSettings, hello: str) -> None:
        self._given, self._heard = channel, 0
        super().__init__(server.host, server.port, local_hostname=hello, timeout=server.timeout)

    def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:  # noqa: ARG002  # smtplib's own hook
        return self._given

    def getreply(self) -> tuple[int, bytes]:
        """One reply."""
        if self.file is None:
            self.file = _Bounded(self.sock.makefile("rb"), self)  # type: ignore[union-attr]  # connected
        return super().getreply()

    def hear(self, line: bytes) -> bytes:
        """Count what was read.

        Raises:
            _Problem: it was too much.
        """
        self._heard += len(line)
        if self._heard > SAYS_MOST:
            raise _Problem(f"it says more than {SAYS_MOST // 1024} KiB")
        return line


class _Bounded:
    def __init__(self, stream: Any, client: _Client) -> None:
        self._stream, self._client = stream, client

    def readline(self, limit: int) -> bytes:
        return self._client.hear(self._stream.readline(limit))

    def close(self) -> None:
        self._stream.close()


def _context(trusted_ca: str) -> ssl.SSLContext:
    # Made anew each time: a CA that the operator adds to the guest counts without a restart.
    context = ssl.create_default_context(cadata=trusted_ca or None)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def _encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode("ascii")
