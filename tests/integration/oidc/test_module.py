"""The module ``argos.edge.oidc`` against a real admin socket: check mode, diff, idempotence, break glass."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hostile_provider import HostileProvider
from panel_runtime import Runtime

TOP = Path(__file__).resolve().parents[3]


def run(runtime: Runtime, *flags: str, **options: Any) -> dict[str, Any]:
    """One task, by the real ansible."""
    arguments = json.dumps({"socket": str(runtime.admin_socket), **options})
    ran = subprocess.run(
        [str(Path(sys.executable).parent / "ansible"), "localhost", "-m", "argos.edge.oidc", "-a", arguments, *flags],
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(runtime.root),
            "LC_ALL": "C.UTF-8",
            "ANSIBLE_COLLECTIONS_PATH": str(TOP / ".build"),
            "ANSIBLE_STDOUT_CALLBACK": "ansible.builtin.minimal",
            "ANSIBLE_PYTHON_INTERPRETER": sys.executable,
            "ANSIBLE_NOCOLOR": "1",
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    head, _unused, body = ran.stdout.partition("=> ")
    assert body, ran.stdout + ran.stderr
    result: dict[str, Any] = json.JSONDecoder().raw_decode(body)[0]
    return {**result, "failed": "FAILED" in head, "shown": ran.stdout}


@pytest.mark.threat("OIDC-6")
def test_the_module_is_exact_in_check_mode_idempotent_and_breaks_the_glass(
    runtime: Runtime, provider: HostileProvider
) -> None:
    declared = {
        "owner": "ansible",
        "name": "By Ansible",
        "issuer": provider.issuer,
        "client_id": "argos",
        "client_secret": {"secret": "oidc-client"},
        "allowed_groups": ["family"],
        "auto_provision": True,
    }
    checked = run(runtime, "--check", "--diff", **declared)
    assert checked["changed"]
    assert runtime.rows("SELECT spec FROM resources WHERE name = 'oidc' AND spec LIKE '%By Ansible%'") == []
    done = run(runtime, **declared)
    assert done["changed"]
    assert done["changes"] == checked["changes"]
    assert not run(runtime, **declared)["changed"]
    assert not run(runtime, "--check", **declared)["changed"]

    glass = run(runtime, "--check", "--diff", enabled=False)
    (change,) = glass["changes"]
    assert change["after"] == {**change["before"], "enabled": False}
    assert change["before"]["owner"] == "ansible"
    broken = run(runtime, enabled=False)
    assert broken["changes"] == glass["changes"]
    assert not run(runtime, enabled=False)["changed"]
    back = run(runtime, enabled=True)
    assert back["changes"] == [{**change, "before": change["after"], "after": change["before"]}]
    assert not run(runtime, **declared)["changed"], "it is as it was declared"

    provider_off = run(runtime, **{**declared, "enabled": False})
    assert provider_off["changed"]
    assert json.loads(runtime.argos("oidc", "status", "--json").stdout)["enabled"] is False

    wrong = run(runtime, **{**declared, "allowed_groups": []})
    assert wrong["failed"]
    assert "settings/oidc: auto_provision" in wrong["shown"]
