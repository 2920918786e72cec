"""A message on its way to real SMTP servers, honest and hostile (DEP-2)."""

from __future__ import annotations

import base64
import json
import logging
import socket
import time
from collections.abc import Callable
from typing import Any

import pytest
from argos.application import Application
from argos.audit import Actor
from argos.errors import Conflict, Invalid, Unavailable
from argos.steps import Step
from authority import Authority
from smtp_server import CLI, NAME, PASSWORD, MailServer, Scripted, running

Declare = Callable[..., None]
SPELLINGS = (
    PASSWORD,
    base64.b64encode(PASSWORD.encode()).decode(),
    base64.b64encode(f"\0argos\0{PASSWORD}".encode()).decode(),
)


def failed(steps: list[Step], name: str) -> str:
    """The message of the step ``name``, which is the last and failed."""
    assert [step.done for step in steps] == [True] * (len(steps) - 1) + [False], steps
    assert steps[-1].name == name, steps
    return steps[-1].message


def everything(application: Application) -> str:
    """All that is kept of mail and of the record."""
    with application.storage.read() as connection:
        found = [connection.exec_driver_sql(f"SELECT * FROM {table}").all() for table in ("audit", "mails", "notices")]
    return repr(found) + json.dumps(application.mail.state().__dict__)


@pytest.mark.threat("DEP-2")
def test_a_test_message_goes_over_starttls_and_signs_in_with_the_vaults_password(
    application: Application, declare: Declare, server: MailServer
) -> None:
    declare(server.port)
    steps = application.mail.test(CLI)
    assert [(step.name, step.done) for step in steps] == [
        (name, True) for name in ("resolve", "connect", "greeting", "tls", "sign in", "accepted")
    ]
    (message,) = server.messages()
    assert message["From"] == "Argos <argos@home.example>"
    assert message["To"] == "me@home.example"
    assert message["Subject"] == "Argos argos.home.example: test message"
    assert message["Auto-Submitted"] == "auto-generated"
    assert message["Message-ID"].endswith("@home.example>")
    assert server.heard == [PASSWORD]
    assert application.mail.state().sent_at == application.clock.now()
    assert "mail.test" in everything(application)


def test_tls_from_the_first_byte(application: Application, declare: Declare, authority: Authority) -> None:
    with running(MailServer(authority.context(NAME), implicit=True, accounts={"argos": PASSWORD})) as server:
        declare(server.port, security="tls")
        steps = application.mail.test(CLI)
        assert [step.name for step in steps] == ["resolve", "connect", "tls", "greeting", "sign in", "accepted"]
        assert steps[-1].done
        assert len(server.messages()) == 1


def test_a_server_on_the_guest_itself_may_want_neither_tls_nor_a_name(
    application: Application, declare: Declare
) -> None:
    with running(MailServer(None)) as server:
        declare(server.port, security="none", username=None, password=None, trusted_ca=None)
        assert application.mail.test(CLI)[-1].done
        assert len(server.messages()) == 1


def test_a_wrong_password_is_told_by_its_code(application: Application, declare: Declare, server: MailServer) -> None:
    application.secrets.set(CLI, "smtp-password", "another password")
    declare(server.port)
    said = failed(application.mail.test(CLI), "sign in")
    assert said == "it answers 535 5.7.8: it does not take this user name and password"
    assert application.mail.state().failure == f"sign in: {said}"
    assert server.messages() == []


@pytest.mark.threat("DEP-2")
@pytest.mark.threat("SEC-1")
@pytest.mark.parametrize("secret", [PASSWORD, "short"])
def test_a_server_that_quotes_the_password_is_not_repeated(
    application: Application,
    declare: Declare,
    authority: Authority,
    caplog: pytest.LogCaptureFixture,
    secret: str,
) -> None:
    caplog.set_level(logging.DEBUG)
    application.secrets.set(CLI, "smtp-password", secret)
    coded = base64.b64encode(f"\0argos\0{secret}".encode()).decode()
    spellings = (secret, base64.b64encode(secret.encode()).decode(), coded)
    told = ""
    with running(MailServer(authority.context(NAME), accounts={"argos": "x"}, auth_says="535 no: {0} {1}")) as server:
        declare(server.port)
        told += repr(application.mail.test(CLI))
    for said in (f"554 spam {secret}", f"554 spam {coded}", f"554 spam {coded[:9]} {coded[9:]}"):
        with running(MailServer(authority.context(NAME), accounts={"argos": secret}, says=said)) as server:
            declare(server.port)
            steps = application.mail.test(CLI)
            assert failed(steps, "accepted").startswith("it answers 554")
            told += repr(steps)
    # The server logs in this process too; what counts is what we say.
    told += everything(application) + repr([one.getMessage() for one in caplog.records if one.name.startswith("argos")])
    for spelling in spellings:
        assert spelling not in told
        assert spelling not in told.replace(" ", "")


@pytest.mark.threat("DEP-2")
def test_a_certificate_of_another_or_of_nobody_gets_neither_password_nor_message(
    application: Application, declare: Declare, authority: Authority, tmp_path: Any
) -> None:
    stranger = Authority(tmp_path, "another CA")
    for context, problem in (
        (authority.context("mail.elsewhere.example"), "certificate is not valid for"),
        (authority.context(NAME, signed_by_itself=True), "self-signed certificate"),
        (stranger.context(NAME), "unable to get local issuer certificate"),
    ):
        for implicit in (False, True):
            with running(MailServer(context, implicit=implicit, accounts={"argos": PASSWORD})) as server:
                declare(server.port, security="tls" if implicit else "starttls")
                said = failed(application.mail.test(CLI), "tls")
                assert problem in said
                assert server.heard == []
                assert server.messages() == []
        application.clock.advance(600)  # type: ignore[attr-defined]
    # Without a CA of one's own the guest's count, and this one is none of them.
    with running(MailServer(authority.context(NAME), accounts={"argos": PASSWORD})) as server:
        declare(server.port, trusted_ca=None)
        assert "unable to get local issuer" in failed(application.mail.test(CLI), "tls")
        assert server.heard == []


def without_starttls(peer: Scripted, channel: socket.socket) -> None:
    channel.sendall(b"220 mail.example ESMTP\r\n")
    while peer.hear(channel):
        channel.sendall(b"250-mail.example\r\n250 AUTH PLAIN LOGIN\r\n")


def refuses_starttls(peer: Scripted, channel: socket.socket) -> None:
    channel.sendall(b"220 mail.example ESMTP\r\n")
    while heard := peer.hear(channel):
        offer = b"250-mail.example\r\n250-STARTTLS\r\n250 AUTH PLAIN LOGIN\r\n"
        channel.sendall(b"454 TLS not available\r\n" if heard.startswith(b"STARTTLS") else offer)


def speaks_on_in_clear(peer: Scripted, channel: socket.socket) -> None:
    """Answers of before the handshake, which must not count as said inside it (CVE-2011-0411)."""
    channel.sendall(b"220 mail.example ESMTP\r\n")
    while heard := peer.hear(channel):
        offer = b"250-mail.example\r\n250-STARTTLS\r\n250 AUTH PLAIN LOGIN\r\n"
        injected = b"220 go ahead\r\n250-mail.example\r\n250 AUTH PLAIN LOGIN\r\n235 welcome\r\n250 OK\r\n250 OK\r\n"
        channel.sendall(injected if heard.startswith(b"STARTTLS") else offer)


@pytest.mark.threat("DEP-2")
@pytest.mark.parametrize("play", [without_starttls, refuses_starttls, speaks_on_in_clear])
def test_where_starttls_is_stripped_neither_password_nor_message_is_sent(
    application: Application, declare: Declare, play: Callable[[Scripted, socket.socket], None]
) -> None:
    with running(Scripted(play)) as peer:
        declare(peer.port)
        failed(application.mail.test(CLI), "tls")
        assert b"AUTH" not in peer.received.upper().replace(b"ESMTP", b"")
        assert b"MAIL" not in peer.received
        for spelling in SPELLINGS:
            assert spelling.encode() not in peer.received


def hangs(peer: Scripted, _channel: socket.socket) -> None:
    peer.over.wait(60)


def drips(peer: Scripted, channel: socket.socket) -> None:
    channel.sendall(b"220-")
    while not peer.over.wait(0.1):
        channel.sendall(b"x")


def floods(peer: Scripted, channel: socket.socket) -> None:
    while not peer.over.is_set():
        channel.sendall(b"220-" + b"x" * 4000 + b"\r\n")


def hangs_in_the_handshake(peer: Scripted, channel: socket.socket) -> None:
    channel.sendall(b"220 mail.example ESMTP\r\n")
    while heard := peer.hear(channel):
        if heard.startswith(b"STARTTLS"):
            channel.sendall(b"220 go ahead\r\n")
            peer.over.wait(60)
            return
        channel.sendall(b"250-mail.example\r\n250 STARTTLS\r\n")


@pytest.mark.threat("DEP-2")
@pytest.mark.parametrize(
    ("play", "security", "timeout", "step", "said"),
    [
        (hangs, "starttls", 1, "greeting", "longer than 1 s"),
        (hangs, "tls", 1, "tls", "longer than 1 s"),
        (drips, "starttls", 1, "greeting", "longer than 1 s"),
        # Long enough for what comes before it on a busy machine.
        (hangs_in_the_handshake, "starttls", 6, "tls", "longer than 6 s"),
        (floods, "starttls", 60, "greeting", "more than 64 KiB"),
    ],
)
def test_a_server_that_hangs_drips_or_floods_is_given_up(
    application: Application, declare: Declare, play: Callable[[Scripted, socket.socket], None], security: str,
    timeout: int, step: str, said: str,
) -> None:  # fmt: skip
    with running(Scripted(play)) as peer:
        declare(peer.port, security=security, timeout=timeout)
        begun = time.monotonic()
        assert said in failed(application.mail.test(CLI), step)
        assert time.monotonic() - begun < 60, "the time for it, and room for a busy machine"


def test_a_server_that_floods_is_hung_up_on(application: Application, declare: Declare) -> None:
    with running(Scripted(floods)) as peer:
        declare(peer.port)
        failed(application.mail.test(CLI), "greeting")
        assert peer.played.wait(60), "the connection stays open"


def test_a_server_that_is_not_there_or_is_none(application: Application, declare: Declare) -> None:
    def not_smtp(_peer: Scripted, channel: socket.socket) -> None:
        channel.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    with running(Scripted(not_smtp)) as peer:
        declare(peer.port)
        assert failed(application.mail.test(CLI), "greeting")
    declare(peer.port)
    assert failed(application.mail.test(CLI), "connect") == "Connection refused"
    declare(25, host="mail.host.invalid")
    failed(application.mail.test(CLI), "resolve")


def test_recipients_that_are_refused_are_named(
    application: Application, declare: Declare, authority: Authority
) -> None:
    with running(MailServer(authority.context(NAME), refuses=("gone@home.example",))) as server:
        declare(server.port, username=None, password=None, recipients=["me@home.example", "gone@home.example"])
        steps = application.mail.test(CLI)
        assert steps[-1].done
        assert steps[-1].message == "for 1 of 2; gone@home.example: it answers 550 5.1.1 no such user"
        declare(server.port, username=None, password=None, recipients=["gone@home.example"])
        assert "550" in failed(application.mail.test(CLI), "accepted")


@pytest.mark.threat("DEP-2")
def test_nobody_relays_by_the_test_message(application: Application, declare: Declare, server: MailServer) -> None:
    with pytest.raises(Conflict, match="no mail server is declared"):
        application.mail.test(CLI)
    declare(server.port, recipients=["me@home.example", "other@home.example"])
    for to in ("spam@victim.example", "me@home.example\r\nRCPT TO:<x@victim.example>", "me@home.example,x@v.example"):
        with pytest.raises(Invalid, match="mail: to"):
            application.mail.test(CLI, to)
    with pytest.raises(Invalid):
        application.mail.test(CLI, "x@a.example\r\nBcc: y", own="x@a.example\r\nBcc: y")
    assert application.mail.test(CLI, "Other@Home.example")[-1].done
    person = Actor("user", "alice", "203.0.113.5")
    assert application.mail.test(person, "alice@elsewhere.example", own="alice@elsewhere.example")[-1].done
    assert [message["To"] for message in server.messages()] == ["other@home.example", "alice@elsewhere.example"]


def test_test_messages_are_bounded(application: Application, declare: Declare, server: MailServer) -> None:
    declare(server.port)
    for _unused in range(5):
        assert application.mail.test(CLI)[-1].done
    with pytest.raises(Unavailable, match="wait 600 s") as refused:
        application.mail.test(CLI)
    assert refused.value.retry_after == 600
    assert len(server.messages()) == 5
    application.clock.advance(600)  # type: ignore[attr-defined]
    assert application.mail.test(CLI)[-1].done
