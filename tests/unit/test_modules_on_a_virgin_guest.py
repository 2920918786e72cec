"""What the modules answer where no runtime has been installed yet: a plan in check mode, else one sentence."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

TOP = Path(__file__).resolve().parents[2]
RUN = """
import importlib, json, sys
from ansible.module_utils.testing import patch_module_args
with patch_module_args(json.load(sys.stdin)):
    importlib.import_module("ansible_collections.argos.edge.plugins.modules." + sys.argv[1]).main()
"""
# Module, options, what it calls its resource, and the diff's header and what the change leads to.
PLANS = [
    ("user", {"username": "alice", "email": "alice@home.example"}, "account", "user alice", "alice@home.example"),
    ("decision", {"value": "203.0.113.7", "reason": "scans"}, "decision", "decision 203.0.113.7", "scans"),
    ("secret", {"name": "photos-token", "value": "hidden-7d1f"}, "secret", "secret/photos-token", "a value, version 1"),
    ("host", {"name": "a.home.example", "upstreams": [{"url": "http://192.0.2.2"}]}, "declaration",
     "host a.home.example", "192.0.2.2"),
]  # fmt: skip


def run(module: str, options: dict[str, Any], socket: Path, *, check: bool) -> dict[str, Any]:
    """Return what a module printed that ran as Ansible would run it on the guest."""
    arguments = {**options, "socket": str(socket), "_ansible_check_mode": check}
    ran = subprocess.run(
        [sys.executable, "-c", RUN, module],
        input=json.dumps(arguments),
        env={**os.environ, "PYTHONPATH": str(TOP / ".build")},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ran.stdout, ran.stderr
    return json.loads(ran.stdout)


@pytest.mark.parametrize(("module", "options", "what", "header", "leads_to"), PLANS, ids=[plan[0] for plan in PLANS])
def test_check_mode_plans_the_resource_as_new(
    module: str, options: dict[str, Any], what: str, header: str, leads_to: str, tmp_path: Path
) -> None:
    planned = run(module, options, tmp_path / "absent.sock", check=True)
    assert planned["changed"] is True
    assert f"the {what} was checked by its types only." in json.dumps(planned["warnings"])
    (diff,) = planned["diff"] if isinstance(planned["diff"], list) else [planned["diff"]]
    assert diff["after_header"] == header
    assert leads_to in diff["after"]
    assert diff["before"] in ("", "no value\n")
    assert "hidden-7d1f" not in json.dumps(planned)


@pytest.mark.parametrize(("module", "options"), [plan[:2] for plan in PLANS[:3]], ids=[plan[0] for plan in PLANS[:3]])
def test_nothing_is_there_to_take_away(module: str, options: dict[str, Any], tmp_path: Path) -> None:
    kept = {name: value for name, value in options.items() if name in ("username", "value", "name")}
    if module == "secret":
        del kept["value"]
    planned = run(module, {**kept, "state": "absent"}, tmp_path / "absent.sock", check=True)
    assert planned["changed"] is False


@pytest.mark.parametrize(("module", "options"), [plan[:2] for plan in PLANS], ids=[plan[0] for plan in PLANS])
def test_a_change_says_which_role_is_missing(module: str, options: dict[str, Any], tmp_path: Path) -> None:
    refused = run(module, options, tmp_path / "absent.sock", check=False)
    assert refused["failed"] is True
    assert "absent.sock does not answer. Run role argos.edge.runtime on this machine" in refused["msg"]
