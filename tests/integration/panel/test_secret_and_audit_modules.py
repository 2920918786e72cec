"""The modules ``secret`` and ``audit_info`` against a real runtime, run by a real ansible-playbook."""

from __future__ import annotations

from pathlib import Path

import pytest
from panel_runtime import Runtime
from single_tasks import Tasks

VALUE = "planted-module-value"


@pytest.fixture
def tasks(behind_caddy: Runtime, tmp_path: Path) -> Tasks:
    return Tasks(behind_caddy, tmp_path)


@pytest.mark.threat("SEC-1")
@pytest.mark.threat("SEC-3")
def test_a_secret_is_planned_stored_kept_replaced_and_removed_and_never_shown(
    tasks: Tasks, behind_caddy: Runtime
) -> None:
    wanted = {"name": "module-token", "value": VALUE}
    planned, printed = tasks.run("secret", "-vvv", "--check", "--diff", **wanted)
    assert (planned["changed"], planned["version"]) == (True, 1)
    assert behind_caddy.admin("GET", "/v1/secrets").json()["secrets"] == []
    made, more = tasks.run("secret", "-vvv", "--diff", **wanted)
    assert {name: made[name] for name in ("changed", "version", "diff")} == {
        name: planned[name] for name in ("changed", "version", "diff")
    }
    again, _unused = tasks.run("secret", "-vvv", **wanted)
    assert (again["changed"], again["version"]) == (False, 1)
    other, more_yet = tasks.run("secret", "-vvv", "--diff", name="module-token", value=VALUE + "2")
    assert (other["changed"], other["version"]) == (True, 2)
    found, shown = tasks.run("audit_info", "-vvv", target="secret/module-token", verify=True)
    assert [(row["action"], row["actor"]["kind"], row["actor"]["claim"]) for row in found["entries"]] == [
        ("secret.update", "ansible", True),
        ("secret.create", "ansible", True),
    ]
    assert found["verdict"]["sound"] is True
    gone, _unused = tasks.run("secret", "-vvv", "--check", name="module-token", state="absent")
    assert gone["changed"]
    gone, _unused = tasks.run("secret", "-vvv", name="module-token", state="absent")
    assert gone["changed"]
    gone, _unused = tasks.run("secret", "-vvv", name="module-token", state="absent")
    assert not gone["changed"]
    refused, _unused = tasks.run("secret", "-vvv", name="Not Allowed", value=VALUE)
    assert "secret/Not Allowed" in refused["msg"]
    assert VALUE not in printed + more + more_yet + shown


def test_a_wrong_filter_fails_by_name(tasks: Tasks) -> None:
    failed, _unused = tasks.run("audit_info", "-vvv", since="yesterday")
    assert "since" in failed["msg"]


def test_a_plan_counts_secrets_as_stored_that_an_earlier_task_would_store(tasks: Tasks) -> None:
    oidc = {"name": "X", "issuer": "https://id.home.example", "client_id": "argos", "allow_anyone": True}
    declared = {"settings": {"oidc": {**oidc, "client_secret": {"secret": "not-yet"}}}}
    refused, _unused = tasks.run("config", "--check", **declared)
    assert "names 'not-yet', which has no value" in refused["msg"]
    planned, _unused = tasks.run("config", "--check", pending_secrets=["another", "not-yet"], **declared)
    assert [change["name"] for change in planned.get("changes", [])] == ["oidc"], planned
    refused, _unused = tasks.run("config", pending_secrets=["not-yet"], **declared)
    assert "names 'not-yet', which has no value" in refused["msg"], "to apply, it must be there"
