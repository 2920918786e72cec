"""The modules ``user`` and ``user_info`` against a real runtime's admin socket, run by a real ansible-playbook."""

from __future__ import annotations

from pathlib import Path

import pytest
from panel_runtime import Runtime
from single_tasks import Tasks

PASSWORD = "integration password"


@pytest.fixture
def tasks(behind_caddy: Runtime, tmp_path: Path) -> Tasks:
    return Tasks(behind_caddy, tmp_path)


def test_a_person_is_planned_made_kept_changed_and_removed(tasks: Tasks, behind_caddy: Runtime) -> None:
    wanted = {"username": "erin", "email": "erin@home.example", "groups": ["family"], "password": PASSWORD}
    planned, printed_plan = tasks.run("user", "-vvv", "--check", "--diff", **wanted)
    assert planned["changed"]
    assert behind_caddy.admin("GET", "/v1/users/erin").status_code == 404

    made, printed = tasks.run("user", "-vvv", "--diff", **wanted)
    assert (made["changed"], made["before"], made["after"]) == (True, None, planned["after"])
    assert made["diff"] == planned["diff"]
    assert PASSWORD not in printed_plan + printed
    again, _unused = tasks.run("user", "-vvv", "--diff", **wanted)
    assert not again["changed"]
    assert again["diff"] == []

    found, _unused = tasks.run("user_info", "-vvv", username="erin")
    assert [(one["username"], one["groups"]) for one in found["users"]] == [("erin", ["family"])]
    assert "password_hash" not in str(found)

    changed, _unused = tasks.run("user", "-vvv", "--diff", username="erin", groups=["work"], disabled=True)
    assert changed["before"]["groups"] == ["family"]
    assert changed["after"]["groups"] == ["work"]
    assert '"disabled": true' in changed["diff"][0]["after"]

    gone, _unused = tasks.run("user", "-vvv", username="erin", state="absent")
    assert gone["changed"]
    gone, _unused = tasks.run("user", "-vvv", username="erin", state="absent")
    assert not gone["changed"]
    assert tasks.run("user_info", "-vvv", username="erin")[0]["users"] == []


def test_every_mistake_is_told_at_once_without_the_password(tasks: Tasks) -> None:
    refused, printed = tasks.run(
        "user", "-vvv", username="erin", groups=["Not A Group"], email="nowhere", password="short7!"
    )
    for field in ("groups", "email", "password"):
        assert f"user/erin: {field}" in refused["msg"], refused["msg"]
    assert "short7!" not in printed
