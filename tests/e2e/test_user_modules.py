"""The modules ``user`` and ``user_info`` on a guest: exact in check mode and diff, idempotent."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from lab.guest import Guest
from lab.playbook import Tasks

NAME = "e2e-person"
PASSWORD = "e2e first password"


@pytest.fixture
def tasks(guest: Guest, tmp_path: Path) -> Iterator[Tasks]:
    made = Tasks(guest, tmp_path)
    made.run("user", username=NAME, state="absent")
    yield made
    made.run("user", username=NAME, state="absent")


def test_a_person_is_planned_made_kept_changed_and_removed(tasks: Tasks) -> None:
    wanted = {"username": NAME, "email": f"{NAME}@home.example", "groups": ["family"], "password": PASSWORD}
    planned = tasks.run("user", "--check", "--diff", **wanted)
    assert planned.changed
    assert tasks.run("user_info", username=NAME).result["users"] == []

    made = tasks.run("user", "--diff", **wanted)
    assert made.changed
    assert made.result["diff"] == planned.result["diff"]
    assert PASSWORD not in planned.printed + made.printed
    assert not tasks.run("user", "--diff", **wanted).changed
    assert not tasks.run("user", "--check", "--diff", **wanted).changed

    found = tasks.run("user_info", username=NAME).result["users"]
    assert [(one["username"], one["groups"], one["role"]) for one in found] == [(NAME, ["family"], "member")]

    other = {**wanted, "password": "e2e second password"}
    assert not tasks.run("user", **other, update_password="on_create").changed
    assert tasks.run("user", "--check", **other).changed
    regrouped = tasks.run("user", "--diff", username=NAME, groups=[])
    assert regrouped.changed
    assert '"family"' in regrouped.result["diff"][0]["before"]
    assert '"family"' not in regrouped.result["diff"][0]["after"]

    assert tasks.run("user", "--check", username=NAME, state="absent").changed
    assert tasks.run("user", username=NAME, state="absent").changed
    assert not tasks.run("user", username=NAME, state="absent").changed


def test_every_mistake_is_told_at_once_without_the_password(tasks: Tasks) -> None:
    refused = tasks.run("user", username=NAME, groups=["Not A Group"], email="nowhere", password="short7!")
    assert refused.failed
    for field in ("groups", "email", "password"):
        assert field in refused.result["msg"], refused.result["msg"]
    assert "short7!" not in refused.printed
