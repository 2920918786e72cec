"""The record on a guest: copied to the real journal where that is wanted, and missed where its checkpoint is gone."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from typing import Any

import pytest
from lab.admin_api import AdminApi, Declaration
from lab.guest import Guest
from lab.polling import until

pytestmark = pytest.mark.threat("DAT-3")
ENVIRONMENT = "/etc/argos/argos.env"
CHECKPOINT = "/var/lib/argos/audit.checkpoint"
OWNER = "e2e-record"


@pytest.fixture
def nothing_left(api: AdminApi) -> Iterator[None]:
    yield
    assert api.request("POST", "/v1/config/apply", {"owner": OWNER, "prune": True}).status == 200
    api.request("DELETE", "/v1/secrets/e2e-recorded")


@pytest.fixture
def copying(guest: Guest, api: AdminApi, nothing_left: None) -> Iterator[None]:
    """Switch the copy on, as the role does with ``argos_runtime_audit_journal``, and off again."""
    kept = guest.shell(f"cat {ENVIRONMENT}")
    assert "\nARGOS_AUDIT_JOURNAL=0\n" in kept

    def restarted_with(text: str) -> None:
        guest.shell(f"umask 077; cat > {ENVIRONMENT}; systemctl restart argos", stdin=text)
        until("the runtime answers", lambda: api.request("GET", "/v1/key").status == 200, within=240)

    restarted_with(kept.replace("\nARGOS_AUDIT_JOURNAL=0\n", "\nARGOS_AUDIT_JOURNAL=1\n"))
    yield
    restarted_with(kept)


def copied(guest: Guest) -> list[dict[str, Any]]:
    """What the journal holds of the record since the last boot: each line is one JSON object."""
    printed = guest.run("journalctl", "-u", "argos", "-b", "-o", "json", "--all", "--output-fields=MESSAGE")
    messages = [json.loads(line)["MESSAGE"] for line in printed.splitlines()]
    marked = "INFO argos.audit: "
    return [json.loads(text.removeprefix(marked)) for text in messages if str(text).startswith(marked)]


@pytest.mark.usefixtures("copying")
def test_each_row_is_in_the_journal_too(guest: Guest, api: AdminApi, declaration: Declaration) -> None:
    def another_is_copied() -> bool:
        value = {"value": f"recorded-{secrets.token_hex(16)}"}
        assert api.request("PUT", "/v1/secrets/e2e-recorded", value).status == 200
        return bool(copied(guest))

    until("the copy has begun", another_is_copied, within=60, every=1)
    emails = [f"{'e' * 40}{number}@home.example" for number in range(200)]
    host = declaration.host("e2e-recorded", auth={"required": True, "emails": emails})
    assert api.request("POST", "/v1/config/apply", {"owner": OWNER, "hosts": [host]}).status == 200
    rows = api.get("/v1/audit?limit=200")["entries"]
    until("the last one is there", lambda: copied(guest)[-1]["id"] >= rows[0]["id"], within=60)
    told = {row["id"]: row for row in copied(guest)}
    expected = {row["id"]: row for row in rows if row["id"] >= min(told)}
    assert expected.keys() <= told.keys()
    [long] = [row for number, row in told.items() if number in expected and row.get("shortened")]
    assert (long["action"], long["target"]) == ("config.apply", f"host/{host['name']}")
    assert long["after"]["too_long"] > 8000
    assert [told[number] for number in expected if number != long["id"]] == [
        row for number, row in expected.items() if number != long["id"]
    ]


def test_a_checkpoint_that_was_taken_away_is_missed_until_somebody_vouches_for_it(guest: Guest, api: AdminApi) -> None:
    guest.systemctl("restart", "argos")  # whose end leaves one
    until("the runtime answers", lambda: api.request("GET", "/v1/key").status == 200, within=240)
    assert guest.attempt("argos", "audit", "verify")[0] == 0
    guest.run("rm", CHECKPOINT)
    try:
        guest.systemctl("restart", "argos")
        until("the runtime answers", lambda: api.request("GET", "/v1/key").status == 200, within=240)
        assert guest.attempt("ls", CHECKPOINT)[0] != 0, "it was made up again"
        status, printed, _unused = guest.attempt("argos", "audit", "verify")
        assert (status, "is missing" in printed) == (1, True), printed
        checks = json.loads(guest.attempt("argos", "doctor", "--json")[1])["checks"]
        [finding] = [one for one in checks if one["name"] == "audit log"]
        assert finding["state"] == "warning"
    finally:
        guest.run("argos", "audit", "checkpoint")
    assert guest.attempt("argos", "audit", "verify")[0] == 0
    assert guest.run("stat", "-c", "%U %a", CHECKPOINT) == "argos 640\n"
    assert api.get("/v1/audit?action=audit.checkpoint&limit=1")["entries"][0]["actor"]["kind"] == "cli"
