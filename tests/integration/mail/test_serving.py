"""Mail by a real ``argos serve``: declared by module, tried by command and API, sent for what other processes do."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from authority import Authority
from declared_mail import mail
from panel_runtime import Browser, Runtime
from single_tasks import Tasks
from smtp_server import NAME, PASSWORD, MailServer, running


@pytest.fixture
def runtime(tmp_path: Path) -> Iterator[Runtime]:
    made = Runtime(tmp_path, "behind_caddy")
    made.extra["ARGOS_BACKUP_DIR"] = str(tmp_path / "no" / "such" / "place")
    made.start()
    made.declare()
    made.people()
    yield made
    made.stop()


def arrived(server: MailServer, count: int) -> None:
    until = time.monotonic() + 60
    while len(server.raw) < count:
        assert time.monotonic() < until, "no mail came"
        time.sleep(0.1)


def settled(runtime: Runtime) -> None:
    """Wait until the runtime has noted that what arrived was sent."""
    until = time.monotonic() + 60
    while runtime.admin("GET", "/v1/mail").json()["waiting"]:
        assert time.monotonic() < until, "a notice waits for ever"
        time.sleep(0.1)


def lock(runtime: Runtime, address: str, username: str) -> None:
    browser = Browser(runtime, address)
    for _unused in range(6):
        answer = browser.sign_in(username, "not the password")
    assert answer.status_code == 429


@pytest.mark.threat("DEP-2")
@pytest.mark.threat("SEC-1")
def test_declared_tried_and_told_over_a_restart(runtime: Runtime, authority: Authority, tmp_path: Path) -> None:
    with running(MailServer(authority.context(NAME), accounts={"argos": PASSWORD})) as server:
        assert runtime.admin("PUT", "/v1/secrets/smtp-password", {"value": PASSWORD}).status_code == 200
        tasks, declared = Tasks(runtime, tmp_path), {"owner": "ansible", **mail(server.port, authority)}
        checked, _shown = tasks.run("mail", "--check", "--diff", **declared)
        assert checked["changed"]
        assert runtime.admin("GET", "/v1/mail").json()["declared"] is False
        done, shown = tasks.run("mail", "--diff", **declared)
        assert done["changes"] == checked["changes"]
        assert PASSWORD not in shown
        again, _shown = tasks.run("mail", **declared)
        assert not again["changed"]
        wrong, _shown = tasks.run("mail", **{**declared, "recipients": ["no address"]})
        assert "settings/mail: recipients[0]" in wrong["msg"]

        listed = runtime.admin("GET", "/v1/secrets").json()["secrets"]
        assert [(one["name"], one["used_by"]) for one in listed] == [("smtp-password", ["settings/mail"])]
        assert runtime.admin("DELETE", "/v1/secrets/smtp-password").status_code == 409

        tried = runtime.argos("mail", "test", "--json")
        assert tried.returncode == 0, tried.stdout + tried.stderr
        assert [step["step"] for step in json.loads(tried.stdout)][-2:] == ["sign in", "accepted"]
        answer = runtime.admin("POST", "/v1/mail/test", {"to": "me@home.example"})
        assert answer.status_code == 200
        assert answer.json()["delivered"] is True
        refused = runtime.admin("POST", "/v1/mail/test", {"to": "x@elsewhere.example"})
        assert (refused.status_code, refused.json()["error"]["errors"][0]["field"]) == (400, "to")
        assert runtime.argos("mail", "test", "--to", "x@elsewhere.example").returncode == 1
        assert len(server.raw) == 2

        lock(runtime, "203.0.113.21", "alice")
        arrived(server, 3)
        assert b"203.0.113.21" in server.raw[2]
        failed = runtime.argos("backup", "create")
        assert failed.returncode == 69
        arrived(server, 4)
        assert b"backup failed" in server.raw[3]
        settled(runtime)
        port = server.port

    lock(runtime, "203.0.113.22", "root-admin")
    runtime.stop()
    standing = json.loads(runtime.argos("status", "--json").stdout)["mail"]
    assert standing["waiting"] == 1
    runtime.start()
    with running(MailServer(authority.context(NAME), accounts={"argos": PASSWORD})) as server:
        other = mail(server.port, authority)
        assert server.port != port
        document = {"owner": "ansible", "settings": {"mail": other}}
        assert runtime.admin("POST", "/v1/config/apply", document).status_code == 200
        # A minute after the last one at the earliest: what the bound per hour goes by outlives the process.
        runtime.write("UPDATE mails SET at = at - 100")
        arrived(server, 1)
        assert b"203.0.113.22" in server.raw[0]
        settled(runtime)
    everything = runtime.log.read_bytes() + repr(runtime.rows("SELECT * FROM audit")).encode()
    everything += b"".join(path.read_bytes() for path in (runtime.root / "data").iterdir() if path.is_file())
    assert PASSWORD.encode() not in everything
    status = runtime.argos("mail", "status")
    assert status.returncode == 0, status.stdout
    assert runtime.argos("doctor", "--json").stdout.count("The last e-mail was sent") == 1
