"""A backup made by module and playbook, and a guest put back by one: near the end, as everybody is signed out."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from lab.admin_api import AdminApi, Declaration
from lab.guest import CHECKOUT, Guest
from lab.namespace import VISITORS
from lab.people import Panel, Person
from lab.playbook import Tasks
from lab.polling import until
from lab.secret_search import demand_only_holders, master_key, watching
from lab.visitor import Visitor

SERVICES = ("argos", "argos-gate", "argos-caddy")
LATER = "e2e-after-the-backup"
BANNED = str(VISITORS[195])


@pytest.fixture
def tasks(guest: Guest, tmp_path: Path) -> Tasks:
    return Tasks(guest, tmp_path)


@pytest.fixture
def archives(guest: Guest) -> Iterator[None]:
    """Leave no archive of the suite behind."""
    before = set(guest.shell("ls /var/lib/argos-backups").split())
    yield
    for name in set(guest.shell("ls /var/lib/argos-backups").split()) - before:
        guest.run("rm", "-f", f"/var/lib/argos-backups/{name}")


def play(guest: Guest, name: str, *arguments: str) -> str:
    """Run one of the collection's playbooks as the operator does."""
    done = played(guest, name, *arguments)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    return done.stdout


def played(guest: Guest, name: str | Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run one of the collection's playbooks, or the file of one, however it ends."""
    return subprocess.run(
        [Path(sys.executable).parent / "ansible-playbook", "-i", guest.state / "inventory.yml",
         name if isinstance(name, Path) else CHECKOUT / "playbooks" / f"{name}.yml", *arguments],
        cwd=CHECKOUT,
        env={**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(CHECKOUT / ".build"), "ANSIBLE_NOCOLOR": "1"},
        capture_output=True, text=True, check=False, timeout=800,
    )  # fmt: skip


def usernames(api: AdminApi) -> set[str]:
    return {person["username"] for person in api.get("/v1/users")["users"]}


@pytest.mark.usefixtures("archives")
def test_the_module_makes_one_when_there_is_no_fresh_one(tasks: Tasks, guest: Guest) -> None:
    planned = tasks.run("backup", "--check", max_age=0)
    assert planned.changed
    made = tasks.run("backup")
    assert made.changed
    path = made.result["path"]
    assert guest.run("sha256sum", path).split()[0] == made.result["sha256"]
    assert guest.run("stat", "-c", "%U %a", path).strip() == "argos 600"
    assert "intact" in guest.run("argos", "backup", "verify", path)
    again = tasks.run("backup", max_age=60)
    assert not again.changed
    assert again.result["name"] == made.result["name"]


@pytest.mark.timeout(1800)  # three runs of a playbook, on a machine that may be busy
@pytest.mark.threat("DAT-6")
@pytest.mark.threat("ING-3")
@pytest.mark.usefixtures("archives", "crowdsec")
def test_a_fetched_backup_puts_the_guest_back_and_signs_everybody_out(
    guest: Guest,
    api: AdminApi,
    declaration: Declaration,
    alice: Person,
    panel: Panel,
    visitor: Visitor,
    new_visitor: Callable[..., Visitor],
    tmp_path: Path,
) -> None:
    guarded = f"https://{declaration.name('e2e-guarded')}/"
    authority = guest.run("sha256sum", "/var/lib/argos-caddy/pki/authorities/local/root.key")
    play(guest, "backup", "-e", f"argos_backup_dest={tmp_path}")
    (fetched,) = tmp_path.glob("*.backup")
    for planted in (b"PRIVATE KEY", b"SQLite format", alice.username.encode()):
        assert planted not in fetched.read_bytes()

    panel.sign_in(visitor, alice, guarded)
    assert visitor.navigate(guarded).status_code == 200
    hosts = {host["name"] for host in api.get("/v1/hosts")["hosts"]}
    assert api.request("POST", "/v1/users", {"username": LATER, "password": "some long password"}).status == 201
    document = {"owner": "e2e-later", "hosts": [declaration.host("e2e-later")]}
    assert api.request("POST", "/v1/config/apply", document).status == 200
    guest.shell("echo another > /var/lib/argos-caddy/pki/authorities/local/root.key")
    # As on a fresh guest: CrowdSec does not know the credentials that are in the backup.
    guest.run("cscli", "bouncers", "delete", "argos-caddy")
    guest.run("cscli", "machines", "delete", "argos")
    renewed = json.loads(guest.run("argos", "crowdsec", "credentials", "--json"))
    assert renewed["stored"] == ["crowdsec-bouncer-key", "crowdsec-machine"]

    refused = guest.attempt("argos", "restore", "/nowhere")
    assert refused[0] == 66
    shown = play(guest, "restore", "-e", f"argos_restore_file={fetched}", "--check")
    assert LATER in shown
    assert LATER in usernames(api), "check mode restored"

    with watching(guest, {"master key": master_key(guest)}) as watched:
        play(guest, "restore", "-e", f"argos_restore_file={fetched}", "-e", "argos_restore_force=true")
    working = (" restore ", "argos.backup.caddy_helper")
    at_work = {one.user for one in watched.processes if any(word in one.command for word in working)}
    assert at_work >= {"argos", "argos-caddy"}, "each in a directory of its own"
    demand_only_holders(guest, watched)

    guest.wait_for_units(*SERVICES)
    until("the runtime answers", lambda: api.request("GET", "/v1/health").status == 200, within=240)
    assert LATER not in usernames(api)
    assert {host["name"] for host in api.get("/v1/hosts")["hosts"]} == hosts
    assert guest.run("sha256sum", "/var/lib/argos-caddy/pki/authorities/local/root.key") == authority
    answer = visitor.navigate(guarded)
    assert answer.status_code == 302, "a session outlived the restore"
    with pytest.raises(httpx.ConnectError, match="not valid for"):  # nobody by that name any more
        visitor.get(f"https://{declaration.name('e2e-later')}/")
    panel.sign_in(visitor, alice, guarded)
    assert visitor.navigate(guarded).status_code == 200
    banned, host = new_visitor(BANNED), f"https://{declaration.name('e2e-open')}/"
    assert banned.get(host).status_code == 200
    assert api.request("PUT", "/v1/decisions", {"value": BANNED, "duration": "1h", "reason": "e2e"}).status == 200
    until("the ban arrives at Caddy", lambda: banned.get(host).status_code == 403, within=20)
    assert guest.shell("find /var/tmp /var/lib/argos-backups -maxdepth 1 -name '*restore*'") == ""


AS_ARGOS = ("setpriv", "--reuid=argos", "--regid=argos", "--clear-groups", "sh", "-euc")
ROOTS = "/etc/argos-e2e-roots"


@pytest.fixture
def roots_directory(guest: Guest) -> Iterator[str]:
    """A directory that only root may write to, such as /etc/apt/apt.conf.d."""
    guest.run("mkdir", "-m", "755", ROOTS)
    yield ROOTS
    guest.run("rm", "-rf", ROOTS, "/run/argos-backup/taken", "/run/argos-backup/request")
    guest.systemctl("restart", "argos-backup.path")


@pytest.mark.threat("DAT-2")
@pytest.mark.usefixtures("archives")
def test_who_has_taken_the_runtime_over_puts_no_file_into_roots_directories(
    guest: Guest, api: AdminApi, roots_directory: str
) -> None:
    # The path unit stands still, so that the unit below is the one that meets what was laid out.
    guest.systemctl("stop", "argos-backup.path")
    guest.run(*AS_ARGOS, f"ln -sfn {roots_directory} /run/argos-backup/taken; echo pwned > /run/argos-backup/request")
    guest.systemctl("start", "argos-backup.service")
    assert guest.run("ls", "-A", roots_directory) == ""
    assert guest.run("ls", "-A", "/run/argos-backup") == "", "the request was not taken"
    # And it does its work for the next who asks.
    guest.run(*AS_ARGOS, "printf %s 0123456789abcdef0123456789abcdef > /run/argos-backup/request")
    guest.systemctl("start", "argos-backup.service")
    answer = api.get("/v1/backups/requests/0123456789abcdef0123456789abcdef")
    assert answer["state"] == "ok"


@pytest.mark.threat("DAT-6")
@pytest.mark.usefixtures("archives")
def test_a_restore_killed_while_the_trees_change_places_is_ended_by_the_next_start(
    guest: Guest, api: AdminApi, declaration: Declaration, visitor: Visitor
) -> None:
    made = json.loads(guest.run("argos", "backup", "create", "--json"))[0]["name"]
    assert api.request("POST", "/v1/users", {"username": LATER, "password": "some long password"}).status == 201
    guest.python(
        """
import os, signal, subprocess, sys, time
journal = "/var/lib/argos/restore.journal"
run = subprocess.Popen(["argos", "restore", "--force", sys.argv[1]], start_new_session=True)
until = time.monotonic() + 120
while not os.path.exists(journal):
    assert run.poll() is None and time.monotonic() < until, "it ended before its journal"
os.killpg(run.pid, signal.SIGKILL)
run.wait()
""",
        f"/var/lib/argos-backups/{made}",
    )
    guest.systemctl("restart", *SERVICES)
    guest.wait_for_units(*SERVICES)
    until("the runtime answers", lambda: api.request("GET", "/v1/health").status == 200, within=240)
    assert guest.attempt("ls", "/var/lib/argos/restore.journal")[0] != 0
    assert LATER not in usernames(api)
    assert visitor.navigate(f"https://{declaration.name('e2e-guarded')}/").status_code == 302
    # Both serve: what is gone before find comes to it is nobody's.
    for user in ("argos", "argos-caddy"):
        assert guest.run("find", f"/var/lib/{user}", "-ignore_readdir_race", "!", "-user", user) == ""


@pytest.mark.threat("SEC-3")
@pytest.mark.usefixtures("archives")
def test_no_process_of_caddys_user_holds_the_master_key_while_a_backup_is_made(guest: Guest) -> None:
    found = guest.python(
        """
import base64, json, os, pwd, subprocess
given = dict(line.strip().split("=", 1) for line in open("/etc/argos/argos.env") if "=" in line and line[0] != "#")
text = given["ARGOS_MASTER_KEY"].encode()
wanted = (text, base64.b64decode(text))
user, seen, held = pwd.getpwnam("argos-caddy").pw_uid, set(), []

def look(pid):
    if b"caddy_helper" not in open(f"/proc/{pid}/cmdline", "rb").read():
        return
    if f"Uid:\\t{user}\\t{user}" not in open(f"/proc/{pid}/status").read():
        return
    places = [("environ", open(f"/proc/{pid}/environ", "rb").read())]
    with open(f"/proc/{pid}/mem", "rb", 0) as memory:
        for line in open(f"/proc/{pid}/maps"):
            span, rights = line.split()[:2]
            if rights[:2] == "rw":
                start, end = (int(part, 16) for part in span.split("-"))
                memory.seek(start)
                places.append((line.strip(), memory.read(end - start)))
    seen.add(pid)
    held.extend(where for where, content in places if any(one in content for one in wanted))

for _ in range(20):
    run = subprocess.Popen(["argos", "backup", "create"], stdout=subprocess.DEVNULL)
    while run.poll() is None:
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                look(pid)
            except (OSError, ValueError):
                pass  # it ended meanwhile
    assert run.returncode == 0
    if seen:
        break
print(json.dumps({"seen": len(seen), "held": held}))
"""
    )
    assert json.loads(found) == {"seen": 1, "held": []}


def test_a_runtime_older_than_the_database_is_refused_before_it_replaces_anything(guest: Guest, tmp_path: Path) -> None:
    # What role runtime does first, before it installs anything.
    tmp_path.joinpath("look.yml").write_text(
        "- hosts: edge\n  tasks:\n"
        "    - ansible.builtin.include_role: {name: argos.edge.runtime, tasks_from: preflight.yml}\n"
    )
    database, running = "/var/lib/argos/argos.db", guest.run("readlink", "/opt/argos/venv")

    def say(version: str) -> str:
        return guest.python(
            """
import sqlite3, sys
with sqlite3.connect(sys.argv[1], timeout=10) as opened:
    print(opened.execute("SELECT version_num FROM alembic_version").fetchone()[0])
    opened.execute("UPDATE alembic_version SET version_num = ?", (sys.argv[2],))
""",
            database, version, user="argos",
        ).strip()  # fmt: skip

    true = say("9999")
    try:
        done = played(guest, tmp_path / "look.yml", "-e", f"argos_state_dir={guest.state}")
    finally:
        assert say(true) == "9999"
    assert done.returncode != 0
    assert "the database is of schema 9999" in done.stdout
    assert "Nothing was replaced" in done.stdout
    assert guest.run("readlink", "/opt/argos/venv") == running
