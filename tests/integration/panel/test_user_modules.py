"""The modules ``user`` and ``user_info`` against a real runtime's admin socket, run by a real ansible-playbook."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from panel_runtime import Runtime

CHECKOUT = Path(__file__).resolve().parents[3]
PASSWORD = "integration password"


class Tasks:
    """Runs single tasks on this machine."""

    def __init__(self, runtime: Runtime, place: Path) -> None:
        self._socket, self._place = str(runtime.admin_socket), place
        collections = place / "collections" / "ansible_collections" / "argos"
        collections.mkdir(parents=True)
        (collections / "edge").symlink_to(CHECKOUT)

    def run(self, module: str, *flags: str, **options: Any) -> tuple[dict[str, Any], str]:
        """Return the task's result and all that was printed."""
        task = {f"argos.edge.{module}": {"socket": self._socket, **options}}
        play = [{"hosts": "localhost", "connection": "local", "gather_facts": False, "tasks": [task]}]
        book = self._place / "task.json"
        book.write_text(json.dumps(play))
        done = subprocess.run(
            [str(Path(sys.executable).parent / "ansible-playbook"), "-i", "localhost,", *flags, str(book)],
            cwd=self._place,
            env={
                **os.environ,
                "ANSIBLE_COLLECTIONS_PATH": str(self._place / "collections"),
                "ANSIBLE_CALLBACK_RESULT_FORMAT": "json",
                "ANSIBLE_PYTHON_INTERPRETER": sys.executable,
                "ANSIBLE_LOCALHOST_WARNING": "false",
                "ANSIBLE_NOCOLOR": "1",
            },
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        printed = done.stdout + done.stderr
        start = printed.find("=> {")
        assert start >= 0, printed
        return json.JSONDecoder().raw_decode(printed, start + 3)[0], printed


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
