"""The examples of docs/api.md, run as they are written, with curl on a real admin socket."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

from panel_runtime import GUARDED, Runtime

PAGE = Path(__file__).resolve().parents[3] / "docs" / "api.md"


def answers(output: str) -> list[dict[str, object]]:
    """Each JSON object that was printed, one after another."""
    found, decoder, at = [], json.JSONDecoder(), 0
    while text := output[at:].lstrip():
        at = len(output) - len(text)
        value, used = decoder.raw_decode(text)
        found.append(value)
        at += used
    return found


def test_every_example_is_answered_as_the_page_says(stopped: Runtime, tmp_path: Path) -> None:
    stopped.start()
    stopped.declare()
    [script] = re.findall(r"^```sh\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    assert "/run/argos-admin/admin.sock" in script
    script = "set -eu\n" + script.replace("/run/argos-admin/admin.sock", str(stopped.admin_socket))
    ran = subprocess.run(["bash", "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    health, declared, planned, stored, secrets, made, would, disabled, found, removed = answers(ran.stdout)
    assert "checks" in health
    assert [host["name"] for host in declared["hosts"]] == [GUARDED]  # type: ignore[attr-defined]
    assert [change["name"] for change in planned["changes"]] == ["photos.home.example"]  # type: ignore[attr-defined]
    assert (stored["changed"], stored["version"]) == (True, 1)
    assert secrets == {"secrets": [{**secrets["secrets"][0], "name": "photos-token", "used_by": []}]}  # type: ignore[index]
    assert made["groups"] == ["family"]
    assert "/welcome?token=" in str(made["link"])
    assert (would["changed"], disabled["changed"]) == (True, True)
    assert disabled["after"]["groups"] == ["family"], "what was only checked did not happen"  # type: ignore[index]
    assert [entry["action"] for entry in found["entries"]][:1] == ["user.update"]  # type: ignore[attr-defined, index]
    assert removed["changed"] is True
    assert "s3cret" not in ran.stdout + stopped.log.read_text()
    assert {entry["actor"]["name"] for entry in found["entries"]} == {"script:me"}  # type: ignore[attr-defined]
