"""``argos user``: links, roles and groups from the command line, on a real database."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    for name in ("data", "run", "edge", "credentials"):
        (tmp_path / name).mkdir()
    return {
        "PATH": os.environ["PATH"],
        "ARGOS_MASTER_KEY": base64.b64encode(bytes(32)).decode(),
        "ARGOS_DATA_DIR": str(tmp_path / "data"),
        "ARGOS_EDGE_DIR": str(tmp_path / "edge"),
        "ARGOS_EPOCH_FILE": str(tmp_path / "run/epoch"),
    }


def argos(environment: dict[str, str], *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "argos", "user", *arguments],
        env=environment,
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.mark.long
def test_an_account_is_made_with_a_link_regrouped_promoted_and_kept_when_it_is_the_last_admin(
    environment: dict[str, str],
) -> None:
    made = argos(environment, "create", "alice", "--group", "family", "--group", "work", "--link", "--json")
    assert made.returncode == 0, made.stderr
    answer = json.loads(made.stdout)
    assert answer["user"]["groups"] == ["family", "work"]
    assert answer["user"]["has_password"] is False
    assert answer["link"].partition("/welcome?token=")[2]
    assert answer["link_seconds"] == 86400

    regrouped = argos(environment, "set-groups", "alice", "photos", "--json")
    assert json.loads(regrouped.stdout)["after"]["groups"] == ["photos"]
    assert json.loads(argos(environment, "set-groups", "alice", "photos", "--json").stdout)["changed"] is False
    assert "unchanged" in argos(environment, "set-groups", "alice", "photos").stdout
    assert argos(environment, "set-groups", "alice", "Not-Allowed").returncode == 1
    assert argos(environment, "set-groups", "nobody", "family").returncode == 66

    assert argos(environment, "set-role", "alice", "admin").returncode == 0
    demoted = argos(environment, "set-role", "alice", "member")
    assert demoted.returncode == 1
    assert "last enabled admin" in demoted.stderr
    assert argos(environment, "set-role", "alice", "owner").returncode == 2

    linked = argos(environment, "reset-password", "alice", "--link")
    assert "/welcome?token=" in linked.stdout
    listed = argos(environment, "list").stdout
    assert "alice" in listed
    assert "photos" in listed


@pytest.mark.parametrize("command", ["create", "reset-password", "set-role", "set-groups", "disable", "delete", "list"])
def test_the_help_shows_an_example(environment: dict[str, str], command: str) -> None:
    shown = argos(environment, command, "--help").stdout
    assert f"sudo argos user {command}" in shown
