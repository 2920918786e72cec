"""Mail on a guest: declared by module, and a backup that fails is told by a mail that arrives."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from lab.admin_api import AdminApi
from lab.guest import Guest
from lab.mailbox import PASSWORD, Mailbox, mailbox
from lab.playbook import Tasks
from lab.polling import until

SECRET = "e2e-smtp"
BACKUPS = "/var/lib/argos-backups"
SEARCHED = ("/var/lib/argos", "/var/lib/argos-edge", BACKUPS, "/run/argos-credentials", "/var/log", "/etc/argos")
SEARCH = """
import os, subprocess, sys
planted = sys.stdin.buffer.read().splitlines()
def look(where, content):
    if any(form in content for form in planted):
        print(where)
look("journal", subprocess.run(["journalctl", "--no-pager", "-a", "-o", "cat"], capture_output=True).stdout)
for top in sys.argv[1:]:
    for directory, _unused, names in os.walk(top):
        for name in names:
            path = os.path.join(directory, name)
            if os.path.isfile(path) and "/journal/" not in path:
                try:
                    with open(path, "rb") as stream:
                        look(path, stream.read())
                except FileNotFoundError:  # the services work on
                    pass
"""


@pytest.fixture
def tasks(guest: Guest, tmp_path: Path) -> Tasks:
    return Tasks(guest, tmp_path)


@pytest.fixture
def relay(guest: Guest, api: AdminApi, tmp_path: Path) -> Iterator[Mailbox]:
    with mailbox(guest, tmp_path) as running:
        yield running
    off = {"owner": "e2e-mail", "settings": {"mail": {"enabled": False}}}
    assert api.request("POST", "/v1/config/apply", off).status == 200
    api.request("DELETE", f"/v1/secrets/{SECRET}")


@pytest.mark.threat("DEP-2")
@pytest.mark.threat("SEC-1")
def test_a_failed_backup_is_mailed_and_the_password_stands_nowhere(guest: Guest, tasks: Tasks, relay: Mailbox) -> None:
    stored = tasks.run("secret", name=SECRET, value=PASSWORD)
    assert stored.changed
    declared = tasks.run(
        "mail",
        "--diff",
        owner="e2e-mail",
        host=relay.address,
        port=relay.server.port,
        username="argos",
        password={"secret": SECRET},
        sender="argos@home.example",
        recipients=["me@home.example"],
        trusted_ca=relay.authority,
    )
    assert declared.changed, declared.printed
    assert PASSWORD not in stored.printed + declared.printed
    steps = json.loads(guest.run("argos", "mail", "test", "--json"))
    assert [step["step"] for step in steps if step["done"]][-1] == "accepted", steps

    guest.run("chmod", "0500", BACKUPS)
    try:
        assert guest.attempt("systemctl", "start", "argos-backup.service")[0] != 0
    finally:
        guest.run("chmod", "0700", BACKUPS)
    until("the mail arrives", lambda: len(relay.server.raw) == 2, within=180)
    message = relay.server.messages()[1]
    assert message["Subject"].endswith(": backup failed")
    assert BACKUPS in message.get_content()
    until("nothing waits", lambda: standing(guest)["waiting"] == 0, within=60)

    forms = [PASSWORD, base64.b64encode(PASSWORD.encode()).decode(), signed_in_with()]
    assert guest.python(SEARCH, *SEARCHED, stdin="\n".join(forms)) == ""


def standing(guest: Guest) -> dict[str, Any]:
    """Return what ``argos status`` says of mail."""
    said: dict[str, Any] = json.loads(guest.run("argos", "status", "--json"))["mail"]
    return said


def signed_in_with() -> str:
    """The password as AUTH PLAIN sends it (RFC 4616)."""
    return base64.b64encode(f"\0argos\0{PASSWORD}".encode()).decode()
