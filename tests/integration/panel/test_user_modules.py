"""The modules ``user`` and ``user_info`` against a real runtime's admin socket, run by a real ansible-playbook."""

from __future__ import annotations

import re
from pathlib import Path

import pyotp
import pytest
from panel_runtime import Browser, Runtime
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


def test_a_second_factor_is_taken_away_as_planned_and_once(tasks: Tasks, behind_caddy: Runtime) -> None:
    person = Browser(behind_caddy, "127.0.0.60")
    behind_caddy.person("hazel")
    person.sign_in("hazel")
    page = person.post("/profile/second-factor", {"action": "begin"}).text
    secret = re.search(r"secret: <code>([A-Z2-7]{32})</code>", page)
    assert secret is not None
    person.post("/profile/second-factor", {"action": "confirm", "code": pyotp.TOTP(secret[1]).now()})
    assert tasks.run("user_info", "-vvv", username="hazel")[0]["users"][0]["has_second_factor"]
    assert person.get("/profile").status_code == 200

    wanted = {"username": "hazel", "second_factor": "disabled"}
    planned, _unused = tasks.run("user", "-vvv", "--check", "--diff", **wanted)
    assert planned["before"] == {**planned["after"], "second_factor": "enabled"}
    assert person.get("/profile").status_code == 200, "a plan changed something"
    done, _unused = tasks.run("user", "-vvv", "--diff", **wanted)
    assert {name: done[name] for name in planned if name in {"changed", "before", "after", "diff"}} == {
        name: planned[name] for name in ("changed", "before", "after", "diff")
    }
    assert person.get("/profile").status_code == 303
    assert not tasks.run("user_info", "-vvv", username="hazel")[0]["users"][0]["has_second_factor"]
    again, _unused = tasks.run("user", "-vvv", "--diff", **wanted)
    assert (again["changed"], again["diff"]) == (False, [])


def test_a_link_comes_with_a_new_account_once(tasks: Tasks, behind_caddy: Runtime) -> None:
    wanted = {"username": "ivy", "groups": ["family"], "link": "on_create"}
    planned, _unused = tasks.run("user", "-vvv", "--check", **wanted)
    assert (planned["changed"], "link" in planned) == (True, False)
    made, _unused = tasks.run("user", "-vvv", **wanted)
    assert made["after"] == planned["after"]
    assert made["link_seconds"] == 86400
    place = f"{behind_caddy.origin}/welcome?token="
    assert made["link"].startswith(place)
    again, _unused = tasks.run("user", "-vvv", **wanted)
    assert (again["changed"], "link" in again) == (False, False)
    token = made["link"].removeprefix(place)
    form = {"token": token, "new": PASSWORD, "again": PASSWORD}
    assert Browser(behind_caddy, "127.0.0.61").post("/welcome", form).status_code == 303
    assert Browser(behind_caddy, "127.0.0.61").sign_in("ivy", PASSWORD).status_code == 303
    refused, _unused = tasks.run("user", "-vvv", username="jo", password=PASSWORD, link="on_create")
    assert "mutually exclusive" in refused["msg"]


def test_every_mistake_is_told_at_once_without_the_password(tasks: Tasks) -> None:
    refused, printed = tasks.run(
        "user", "-vvv", username="erin", groups=["Not A Group"], email="nowhere", password="short7!"
    )
    for field in ("groups", "email", "password"):
        assert f"user/erin: {field}" in refused["msg"], refused["msg"]
    assert "short7!" not in printed
