"""Who a command of Argos runs as: root becomes the owner of the data, strangers get one clear sentence."""

from __future__ import annotations

import pytest
from lab.guest import Guest


@pytest.mark.threat("SEC-3")
def test_roots_commands_leave_no_file_of_roots_behind(guest: Guest) -> None:
    guest.run("argos", "user", "list")
    guest.run("argos", "status")
    ours = "! -path '/run/argos-gate*' ! -path '/run/argos-caddy*'"
    # The services work on: what is gone before find comes to it is nobody's.
    places = "/var/lib/argos /var/lib/argos-edge /run/argos-*"
    foreign = guest.shell(f"find {places} -ignore_readdir_race ! -user argos {ours} -print")
    assert foreign.split() == []


@pytest.mark.threat("SEC-3")
def test_the_runtime_has_no_rights_of_roots_and_shows_its_key_to_nobody(guest: Guest) -> None:
    pid = guest.run("systemctl", "show", "-P", "MainPID", "argos").strip()
    lines = guest.run("cat", f"/proc/{pid}/status").splitlines()
    status = dict(line.split(":\t", 1) for line in lines if ":\t" in line)
    uid, gid = guest.run("id", "-u", "argos").strip(), guest.run("id", "-g", "argos").strip()
    assert status["Uid"].split() == [uid] * 4
    assert status["Gid"].split() == [gid] * 4
    assert set(status["Groups"].split()) <= {gid}
    assert int(status["CapEff"], 16) == 0
    # It is not dumpable, so its /proc entries belong to root although it is argos's: another process of the same user
    # can read neither its memory nor the key in its environment.
    assert guest.run("stat", "-c", "%U", f"/proc/{pid}/environ").strip() == "root"
    as_argos = ("setpriv", "--reuid=argos", "--regid=argos", "--clear-groups")
    code, _printed, _complaint = guest.attempt(*as_argos, "cat", f"/proc/{pid}/environ")
    assert code != 0


def test_another_user_gets_one_sentence(guest: Guest) -> None:
    stranger = ("setpriv", "--reuid=64321", "--regid=64321", "--clear-groups")
    code, _printed, complaint = guest.attempt(*stranger, "argos", "user", "list")
    assert code == 77, complaint
    assert "sudo" in complaint
    assert len(complaint.splitlines()) == 1
