"""A new master key by the operator's playbook: killed in the middle, run again, and nobody signed in notices."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from lab.admin_api import AdminApi, Declaration
from lab.guest import CHECKOUT, Guest
from lab.load import asking
from lab.people import Panel, Person
from lab.visitor import Visitor

PLAYBOOK = CHECKOUT / "playbooks" / "rotate_key.yml"
# In one rotation, each run beginning with what the one before left; between two of them nothing else changes.
KILLED_AT = (
    "RUNNING HANDLER [argos.edge.runtime : Restart argos]",
    "TASK [Put the data under the new key]",
    "TASK [Take the old key from the guest]",
    "RUNNING HANDLER [argos.edge.runtime : Restart argos]",
)


def rotation(guest: Guest) -> subprocess.Popen[str]:
    """Start the playbook."""
    return subprocess.Popen(
        [
            str(Path(sys.executable).parent / "ansible-playbook"),
            "-i",
            str(guest.state / "inventory.yml"),
            str(PLAYBOOK),
            "-e",
            json.dumps({"argos_state_dir": str(guest.state), "argos_rotate_reencrypt": True}),
        ],
        env={**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(CHECKOUT / ".build"), "ANSIBLE_NOCOLOR": "1"},
        cwd=guest.state,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def killed_at(playbook: subprocess.Popen[str], place: str) -> str:
    """Kill the playbook when it prints a line that begins so; return what it printed."""
    printed = []
    assert playbook.stdout is not None
    for line in playbook.stdout:
        printed.append(line)
        if line.startswith(place):
            playbook.kill()
            break
    else:
        pytest.fail(f"it never came to {place}: " + "".join(printed[-40:]))
    printed.append(playbook.communicate(timeout=240)[0])  # its worker ends the task that it is in
    return "".join(printed)


def key_of(guest: Guest) -> dict[str, object]:
    """What ``argos key check`` says."""
    return json.loads(guest.run("argos", "key", "check", "--json"))


@pytest.mark.timeout(1800)  # five runs of a playbook, on a machine that may be busy
@pytest.mark.threat("SEC-4")
@pytest.mark.threat("FWD-2")
def test_a_rotation_killed_at_each_step_is_finished_by_the_next_and_denies_nobody(
    guest: Guest,
    api: AdminApi,
    panel: Panel,
    alice: Person,
    signed_in: Visitor,
    new_visitor,
    declaration: Declaration,
) -> None:
    host = f"https://{declaration.name('e2e-guarded')}/"
    before, old = key_of(guest), (guest.state / "master.key").read_text().strip()
    assert api.request("PUT", "/v1/secrets/e2e-kept", {"value": "kept over a rotation"}).status == 200
    output = ""
    with asking(lambda: signed_in.get(host)) as seen:
        for place in KILLED_AT:
            output += killed_at(rotation(guest), place)
            following = guest.state / "master.key.next"
            chosen = (following if following.exists() else guest.state / "master.key").read_text().strip()
            assert chosen != old
        last = rotation(guest)
        output += last.communicate(timeout=800)[0]
    assert last.returncode == 0, output[-3000:]
    assert set(seen.statuses) == {200}, (seen.statuses, seen.odd)
    new = (guest.state / "master.key").read_text().strip()
    assert new == chosen, "another key took the place of one that the data was under"
    assert not (guest.state / "master.key.next").exists()
    former = guest.state / f"master.key.{before['wanted'][0]}"
    assert (former.read_text().strip(), former.stat().st_mode & 0o777) == (old, 0o600)
    after = key_of(guest)
    assert after["wanted"] == [after["given"]["ARGOS_MASTER_KEY"]]
    assert after["wanted"] != before["wanted"]
    assert list(after["given"]) == ["ARGOS_MASTER_KEY"]
    for key in (old, new):
        assert key not in output
    assert old not in guest.shell("cat /etc/argos/argos.env")
    again = api.request("PUT", "/v1/secrets/e2e-kept?check=true", {"value": "kept over a rotation"})
    assert again.body["changed"] is False
    api.request("DELETE", "/v1/secrets/e2e-kept")
    panel.sign_in(new_visitor(), alice)
    assert guest.run("argos", "audit", "verify").endswith("none missing\n")
    assert len(base64.b64decode(new)) == 32
