"""What happens, told by mail: once, bounded, in plain text, and without holding anything up (DEP-2, DAT-4)."""

from __future__ import annotations

import contextlib
import re
import shutil
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
from argos.accounts.errors import BadCredentials, TooManyFailedLogins
from argos.application import Application
from argos.clock import FixedClock
from argos.doctor.mail import check_mail
from argos.errors import ArgosError, Unavailable
from argos.notify.outbox import MOST_WAITING
from authority import Authority
from smtp_server import CLI, NAME, PASSWORD, MailServer, running

Declare = Callable[..., None]
ADDRESS = "203.0.113.9"
HEADERS = {
    "From",
    "To",
    "Subject",
    "Date",
    "Message-ID",
    "Auto-Submitted",
    "Content-Type",
    "Content-Transfer-Encoding",
    "MIME-Version",
    "X-Peer",
    "X-MailFrom",
    "X-RcptTo",
}


def note(application: Application, text: str, event: Any = "login_ban") -> bool:
    with application.storage.write() as connection:
        return application.outbox.note(connection, event, text)


def waiting(application: Application) -> list[str]:
    with application.storage.read() as connection:
        return [row[0] for row in connection.exec_driver_sql("SELECT text FROM notices ORDER BY id")]


def tries(application: Application) -> list[tuple[int, str, str]]:
    with application.storage.read() as connection:
        rows = connection.exec_driver_sql("SELECT at, event, state FROM mails ORDER BY id").all()
    return [(row[0], row[1], row[2]) for row in rows]


def guess(application: Application, username: str, times: int = 5, address: str = ADDRESS) -> None:
    for _unused in range(times):
        with contextlib.suppress(BadCredentials, TooManyFailedLogins):
            application.accounts.authenticate(username, "not the password", address)


def body(server: MailServer, number: int = -1) -> str:
    return str(server.messages()[number].get_content())


def test_a_failed_backup_is_mailed(application: Application, declare: Declare, server: MailServer) -> None:
    declare(server.port)
    shutil.rmtree(application.settings.backup_dir)
    with pytest.raises(Unavailable):
        application.backups.create(CLI, {})
    assert server.messages() == [], "a backup waits for no mail server"
    application.mail.send_due()
    (message,) = server.messages()
    assert message["Subject"] == "Argos argos.home.example: backup failed"
    assert message["To"] == "me@home.example"
    assert f"A backup failed: {application.settings.backup_dir}: No such file or directory" in body(server)
    assert "https://argos.home.example/backups" in body(server)
    application.mail.send_due()
    assert len(server.messages()) == 1, "each is told once"


@pytest.mark.threat("LOG-1")
def test_a_lock_at_sign_in_is_mailed_once_and_not_for_each_try(
    application: Application, declare: Declare, server: MailServer
) -> None:
    declare(server.port)
    application.accounts.create(CLI, "alice", "member", "correct horse battery")
    guess(application, "alice", times=30)
    application.mail.send_due()
    (message,) = server.messages()
    assert message["Subject"] == "Argos argos.home.example: sign-in locked"
    told = f"The address {ADDRESS} and the account alice are locked out until 2027-01-15 08:30 UTC"
    assert told in body(server).replace("=\n", "")
    assert waiting(application) == []


@pytest.mark.threat("DEP-2")
def test_what_was_typed_as_a_name_is_mailed_only_where_it_is_one(
    application: Application, declare: Declare, server: MailServer
) -> None:
    declare(server.port)
    application.accounts.create(CLI, "alice", "member", "correct horse battery")
    guess(application, "Hunter2isMyPassword")
    application.clock.advance(3600)  # type: ignore[attr-defined]
    guess(application, "alice", times=1, address="203.0.113.80")
    guess(application, "tr0ub4dor&3 is my password", times=5, address="203.0.113.80")
    application.mail.send_due()
    (message,) = server.messages()
    assert message["Subject"].endswith("sign-in locked (2)")
    assert "a name that no account has" in body(server)
    for typed in ("Hunter2", "tr0ub4dor", "not the password"):
        assert typed.encode() not in server.raw[0]


@pytest.mark.threat("DEP-2")
def test_a_relay_receives_nothing_that_opens_anything(
    application: Application, declare: Declare, server: MailServer
) -> None:
    declare(server.port)
    account = application.accounts.create(CLI, "alice", "admin", "correct horse battery")
    issued = application.sessions.begin(CLI, account.id, ADDRESS)
    application.secrets.set(CLI, "cloudflare", "cf-token-0123456789abcdef")
    guess(application, "alice")
    note(application, f"A backup failed: it quotes cf-token-0123456789abcdef and {PASSWORD}", "backup_failed")
    application.mail.send_due()
    assert application.mail.test(CLI)[-1].done
    assert len(server.raw) == 3
    received = b"".join(server.raw)
    secrets = (issued.panel_token, issued.edge_token, "cf-token-0123456789abcdef", PASSWORD, "correct horse battery")
    for secret in secrets:
        assert secret.encode() not in received
    assert re.findall(rb"https?://\S+", received) == [
        b"https://argos.home.example/backups",
        b"https://argos.home.example/audit",
    ]


@pytest.mark.threat("DEP-2")
def test_no_value_of_an_attacker_makes_a_header_a_recipient_or_a_line(
    application: Application, declare: Declare, server: MailServer
) -> None:
    declare(server.port)
    hostile = "x\r\nBcc: victim@v.example\r\n\r\n.\r\nMAIL FROM:<a@b>\x1b[31m \u202egnp.exe\x00 ünïcode \U0001f600"
    note(application, hostile)
    note(application, "y" * 5000)
    application.mail.send_due()
    (message,) = server.messages()
    assert server.envelopes[0].rcpt_tos == ["me@home.example"]
    assert set(message.keys()) <= HEADERS
    lines = body(server).splitlines()
    assert sum("Bcc" in line for line in lines) == 1
    assert "\\x1b[31m \\u202egnp.exe\\x00 ünïcode \U0001f600" in lines[0]
    assert max(len(line) for line in lines) < 1100


@pytest.mark.threat("DEP-2")
@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("sender", "argos@home.example\r\nBcc: x@v.example"),
        ("sender", "Argos <argos@home.example>"),
        ("sender", "argos@home.example> SIZE=1"),
        ("sender", "ärgos@home.example"),
        ("recipients", ["me@home.example\nRCPT TO:<x@v.example>"]),
        ("recipients", ["me@home.example,x@v.example"]),
        ("recipients", ['"a b"@home.example']),
        ("recipients", [f"a{number}@home.example" for number in range(11)]),
        ("host", "smtp.example\r\nQUIT"),
        ("username", "argos\x00root"),
        ("security", "none"),
        ("events", ["everything"]),
        ("trusted_ca", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----"),
        ("timeout", 61),
    ],
)
def test_what_is_no_address_no_server_or_no_encryption_is_refused(declare: Declare, field: str, value: object) -> None:
    fields = {"host": "smtp.provider.example", "trusted_ca": None} if field == "security" else {}
    with pytest.raises(ArgosError, match=f"settings/mail: {field}"):
        declare(587, **{**fields, field: value})


@pytest.mark.threat("DAT-4")
def test_a_flood_becomes_a_few_mails_that_count_it(
    application: Application, declare: Declare, server: MailServer, clock: FixedClock
) -> None:
    declare(server.port)
    begun = clock.now()
    for number in range(360):
        note(application, f"lock number {number}.")
        if number == 200:
            note(application, "the disk is full", "backup_failed")
        application.mail.send_due()
        clock.advance(10)
        assert len(waiting(application)) <= MOST_WAITING
    locks = [at for at, event, _state in tries(application) if event == "login_ban"]
    assert len(locks) == 6
    assert locks[0] == begun, "the first goes at once"
    assert min(after - before for before, after in pairwise(locks)) >= 60
    assert sum("backup failed" in message["Subject"] for message in server.messages()) == 1, "its share is its own"
    held = application.mail.state().waiting
    clock.advance(600)
    application.mail.send_due()
    assert application.mail.state().waiting == 0
    assert f"sign-in locked ({held})" in server.messages()[-1]["Subject"]
    assert f"and {held - 20} more" in body(server)
    told = [
        int(found[1]) for message in server.messages() if (found := re.search(r"locked \((\d+)\)", message["Subject"]))
    ]
    alone = sum(message["Subject"].endswith("sign-in locked") for message in server.messages())
    assert sum(told) + alone == 360, "none is lost, and none told twice"


def test_a_server_that_is_away_is_asked_ever_more_seldom_and_nothing_is_lost(
    application: Application, declare: Declare, server: MailServer, clock: FixedClock
) -> None:
    begun, port = clock.now(), server.port
    declare(port, password={"secret": "smtp-password"})
    server.close()
    note(application, "what matters")
    for _unused in range(60):
        application.mail.send_due()
        clock.advance(60)
    moments = [(at - begun) // 60 for at, _event, state in tries(application) if state == "failed"]
    assert moments == [0, 1, 3, 7, 15, 31]
    found = check_mail(application.settings.database)
    assert found.state == "warning"
    assert "connect: Connection refused. Waiting notices: 1." in found.message
    state = application.mail.state()
    assert state.failure == "connect: Connection refused"
    assert state.waiting == 1
    assert state.sent_at is None


def test_other_settings_or_another_password_are_tried_at_once(
    application: Application, declare: Declare, server: MailServer
) -> None:
    application.secrets.set(CLI, "smtp-password", "the wrong one")
    declare(server.port)
    note(application, "what matters")
    for _unused in range(3):
        application.mail.send_due()
    assert [state for _at, _event, state in tries(application)] == ["failed"], "it rests after a failure"
    application.secrets.set(CLI, "smtp-password", PASSWORD)
    application.mail.send_due()
    assert "what matters" in body(server)
    assert application.mail.state().failure == ""


def test_what_comes_while_a_mail_is_on_its_way_is_told_by_the_next(
    application: Application, declare: Declare, server: MailServer, clock: FixedClock
) -> None:
    declare(server.port)
    for number in range(MOST_WAITING):
        note(application, f"lock number {number}")
    server.meanwhile = lambda: [note(application, "one more") for _unused in range(3)]
    application.mail.send_due()
    assert application.mail.state().waiting == 3
    server.meanwhile = lambda: None
    clock.advance(60)
    application.mail.send_due()
    subjects = [message["Subject"].rpartition(" ")[2] for message in server.messages()]
    assert subjects == ["(50)", "(3)"]


def test_nothing_waits_for_who_did_not_ask(application: Application, declare: Declare, authority: Authority) -> None:
    assert not note(application, "before it is declared")
    with running(MailServer(authority.context(NAME), accounts={"argos": PASSWORD})) as server:
        declare(server.port, events=["backup_failed"])
        assert not note(application, "another event")
        assert note(application, "this one", "backup_failed")
        declare(server.port, enabled=False)
        application.mail.send_due()
        assert waiting(application) == []
        assert server.messages() == []


def test_settings_that_cannot_be_read_stop_no_sign_in(application: Application) -> None:
    with application.storage.write() as connection:
        connection.exec_driver_sql(
            "INSERT INTO resources (kind, name, spec, owner, updated_at) VALUES ('settings', 'mail', ?, '', 0)",
            ('{"recipients": 7}',),
        )
    guess(application, "nobody")
    with pytest.raises(TooManyFailedLogins):
        application.accounts.authenticate("nobody", "not the password", ADDRESS)


@pytest.mark.threat("DAT-6")
def test_that_no_backup_has_succeeded_for_days_is_mailed_once_a_day(
    application: Application, declare: Declare, server: MailServer, clock: FixedClock
) -> None:
    declare(server.port)
    application.mail.send_due()
    assert server.messages() == []
    for _unused in range(5 * 24):
        clock.advance(3600)
        application.mail.send_due()
    assert len(server.messages()) == 3
    assert "No backup has succeeded yet: 3 days" in body(server, 0)
    assert "No backup has succeeded yet: 5 days" in body(server)
    application.backups.create(CLI, {})
    for _unused in range(2 * 24):
        clock.advance(3600)
        application.mail.send_due()
    assert len(server.messages()) == 3


def test_what_could_not_be_mailed_for_a_week_is_dropped(
    application: Application, declare: Declare, clock: FixedClock
) -> None:
    declare(1)
    note(application, "old")
    clock.advance(7 * 86_400 + 1)
    application.sweep()
    assert waiting(application) == []
    kept = {one.name: one for one in application.sweeper.report()}
    assert kept["notices"].bound == 2 * MOST_WAITING
    assert kept["mails"].bound == 500
