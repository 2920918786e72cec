"""The operator's rotation with the real service and the real command line (SEC-4)."""

from __future__ import annotations

import base64
import json
import secrets

import pytest
from panel_runtime import PASSWORD, Browser, Runtime


def restarted(runtime: Runtime, **environment: str) -> None:
    runtime.stop()
    runtime.extra = environment
    runtime.start()


@pytest.mark.threat("SEC-4")
def test_a_rotation_denies_nobody_loses_nothing_and_the_old_key_is_worth_nothing_after(stopped: Runtime) -> None:
    stopped.start()
    stopped.declare()
    stopped.people()
    assert stopped.admin("PUT", "/v1/secrets/token", {"value": "planted-value"}).status_code == 200
    browser = Browser(stopped, "127.0.0.21")
    assert browser.sign_in("root-admin").status_code == 303
    old, new = stopped.key, base64.b64encode(secrets.token_bytes(32)).decode()

    unset = stopped.argos("key", "rotate")
    assert unset.returncode == 78
    assert "ARGOS_MASTER_KEY_NEXT" in unset.stderr
    early = stopped.argos("key", "rotate", ARGOS_MASTER_KEY_NEXT=new)
    assert early.returncode == 1
    assert "does not have ARGOS_MASTER_KEY_NEXT yet" in early.stderr
    restarted(stopped, ARGOS_MASTER_KEY_NEXT=new)
    assert browser.get("/hosts").status_code == 200
    before = json.loads(stopped.argos("key", "check", "--json").stdout)
    assert before["wanted"] == [before["given"]["ARGOS_MASTER_KEY"]]
    assert before["serving"] == list(before["given"].values())

    done = stopped.argos("key", "rotate", "--reencrypt")
    assert done.returncode == 0, done.stderr
    assert "1 secrets encrypted with data keys of version 2" in done.stdout
    assert "1 of 1 secrets" in done.stderr
    assert browser.get("/hosts").status_code == 200
    assert Browser(stopped, "127.0.0.22").sign_in("alice").status_code == 303
    assert stopped.admin("PUT", "/v1/secrets/token", {"value": "planted-value"}).json()["changed"] is False
    assert stopped.admin("GET", "/v1/key").json()["vault_version"] == 2

    stopped.key = new
    restarted(stopped)
    assert browser.get("/hosts").status_code == 200
    assert Browser(stopped, "127.0.0.23").sign_in("alice").status_code == 303
    after = json.loads(stopped.argos("key", "check", "--json").stdout)
    assert after["opens"] is True
    assert after["wanted"] == [before["given"]["ARGOS_MASTER_KEY_NEXT"]]
    refused = stopped.argos("key", "check", "--json", ARGOS_MASTER_KEY=old)
    assert refused.returncode == 78
    assert after["wanted"][0] in json.loads(refused.stdout)["message"]
    checks = json.loads(stopped.argos("doctor", "--json").stdout)["checks"]
    assert next(one for one in checks if one["name"] == "audit log")["state"] == "ok"
    for shown in (done, early, refused):
        assert not any(key in shown.stdout + shown.stderr for key in (old, new, PASSWORD, "planted-value"))
    assert not any(key in stopped.log.read_text() for key in (old, new))


def test_the_sheet_leads_back_to_the_key_and_is_recorded(stopped: Runtime) -> None:
    stopped.argos("user", "first-admin", "admin", "--password-stdin", stdin=PASSWORD)
    printed = stopped.argos("key", "sheet")
    assert printed.returncode == 0
    assert "has every secret in it" in printed.stderr
    words = "\n".join(line for line in printed.stdout.splitlines() if line[:3].strip(" .").isdigit())
    columns = [line.split() for line in words.splitlines()]
    ordered = [columns[row][2 * column + 1] for column in range(4) for row in range(6)]
    read = stopped.argos("key", "words", "--json", stdin=" ".join(ordered))
    assert json.loads(read.stdout)["line"] == f"ARGOS_MASTER_KEY={stopped.key}"
    page = stopped.argos("key", "sheet", "--html").stdout
    assert page.startswith("<!doctype html>")
    assert stopped.key in page
    assert [row[0] for row in stopped.rows("SELECT action FROM audit WHERE target LIKE 'key/%'")] == ["key.sheet"] * 2
    wrong = stopped.argos("key", "words", stdin="abandon art")
    assert wrong.returncode == 1
    assert "2 words" in wrong.stderr
