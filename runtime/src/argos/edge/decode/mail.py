"""Decoding of ``settings/mail``: the SMTP server that takes notices, and who reads them."""

from __future__ import annotations

import re
from typing import get_args

from argos.edge.decode.values import secret
from argos.edge.fields import Fields
from argos.edge.inline_ca import pem_problem
from argos.edge.model import MailEvent, MailSettings
from argos.edge.names import dns_name_problem, is_loopback, network_problem, parse_address
from argos.errors import FieldError

PORTS = {"starttls": 587, "tls": 465, "none": 25}
"""By ``security``; RFC 6409 §3.1, RFC 8314 §7.3, RFC 5321 §4.5.4.2."""
MOST_RECIPIENTS = 10
MAX_CA = 64 * 1024  # characters
EVENTS: tuple[MailEvent, ...] = get_args(MailEvent)
# A dot-string of RFC 5321 §4.1.2 in ASCII: no quotes, no space and no line end can stand in a header or a command.
_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_ADDRESS = re.compile(rf"(?=[^@]{{1,64}}@){_ATOM}(?:\.{_ATOM})*@([A-Za-z0-9.-]{{1,253}})")
_USERNAME = re.compile(r"[^\x00-\x1f\x7f-\x9f\ud800-\udfff]{1,255}")


def decode_mail(raw: object, errors: list[FieldError]) -> MailSettings:
    """Decode the singleton; what is wrong with it goes to ``errors``."""
    fields = Fields(raw, "settings/mail", "", errors)
    security = fields.choice("security", tuple(PORTS), "starttls")
    mail = MailSettings(
        enabled=fields.boolean("enabled", True),
        host=fields.text("host", "", limit=253, expected="a name such as smtp.home.example", check=_host_problem),
        port=fields.integer("port", PORTS[security], low=1, high=65535),
        security=security,
        username=fields.text("username", "", limit=255, expected="a user name", check=_username_problem),
        password=secret(fields.inner("password")) if fields.given("password") else None,
        sender=fields.text("sender", "", limit=320, expected="an e-mail address in ASCII", check=_sender_problem),
        recipients=fields.texts(
            "recipients",
            limit=MOST_RECIPIENTS,
            each=320,
            expected="an e-mail address in ASCII",
            check=address_problem,
        ),
        trusted_ca=fields.text(
            "trusted_ca", "", limit=MAX_CA, expected="certificates in PEM and nothing else", check=pem_problem
        ),
        timeout=fields.integer("timeout", MailSettings().timeout, low=1, high=60),
        events=_events(fields),
    )
    fields.finish()
    _together(fields, mail)
    return mail


def address_problem(text: str) -> str | None:
    """What is wrong with an e-mail address: plain ASCII, a dot-string and a domain (RFC 5321 §4.1.2)."""
    found = _ADDRESS.fullmatch(text)
    if found is None or parse_address(found[1]) is not None or dns_name_problem(found[1].lower()):
        return f"is {text[:80]!r}, which is not an e-mail address in ASCII"
    return None


def _events(fields: Fields) -> tuple[MailEvent, ...]:
    if not fields.given("events"):
        return EVENTS
    named = fields.texts(
        "events",
        limit=len(EVENTS),
        each=32,
        expected="one of " + ", ".join(EVENTS),
        check=lambda text: None if text in EVENTS else f"is {text!r}, which is no event",
    )
    return tuple(event for event in EVENTS if event in named)  # in one order, each once: equal declarations are equal


def _together(fields: Fields, mail: MailSettings) -> None:
    if mail.enabled:
        for name in ("host", "sender", "recipients"):
            if not getattr(mail, name) and not any(error.field.startswith(name) for error in fields.errors):
                fields.wrong(name, "is missing", "a value while enabled is true")
    if bool(mail.username) != (mail.password is not None):
        fields.wrong("password", "and username do not stand together", "both, or neither")
    if mail.security == "none":
        if mail.host and not is_loopback(mail.host, parse_address(mail.host)):
            # RFC 8314 §4.1: neither the password nor the message goes over a network in clear.
            fields.wrong("security", "is none, and the server is another machine", "starttls or tls")
        if mail.trusted_ca:
            fields.wrong("trusted_ca", "is given while security is none", "one or the other")


def _host_problem(host: str) -> str | None:
    if not host:
        return None
    if parse_address(host) is not None:
        return network_problem(host)
    return dns_name_problem(host)


def _sender_problem(text: str) -> str | None:
    return address_problem(text) if text else None


def _username_problem(text: str) -> str | None:
    return None if not text or _USERNAME.fullmatch(text) else "holds a control character"
