"""The process: how it starts, what it leaves readable, how the command line works beside it, how it ends."""

from __future__ import annotations

import base64
import json
import os
import signal
import socket
import stat
import struct
import subprocess
import sys
import time
from hashlib import sha256
from pathlib import Path

import pytest
from panel_runtime import PASSWORD, Browser, Runtime
from waiting import until

NEW = "quite another battery"


def epoch_words(runtime: Runtime) -> tuple[int, int]:
    counter, heartbeat = struct.unpack("<QQ", runtime.epoch.read_bytes())
    return counter, heartbeat


def test_sockets_are_for_owner_and_group_alone(behind_caddy: Runtime) -> None:
    for path in (behind_caddy.panel_socket, behind_caddy.admin_socket, behind_caddy.seen):
        mode = path.stat().st_mode
        assert stat.S_ISSOCK(mode)
        assert stat.S_IMODE(mode) == 0o660, path
    assert stat.S_IMODE(behind_caddy.database.stat().st_mode) == 0o640


@pytest.mark.threat("SEC-3")
def test_the_master_key_is_neither_in_the_log_nor_handed_to_children(behind_caddy: Runtime) -> None:
    process = behind_caddy.process
    assert process is not None
    assert behind_caddy.key not in behind_caddy.log.read_text()
    limits = Path(f"/proc/{process.pid}/limits").read_text()
    core = next(line for line in limits.splitlines() if line.startswith("Max core file size"))
    assert core.split()[4:6] == ["0", "0"]
    script = "from argos.serving.process import clean_environment as c; c(); import os; os.system('env')"
    shown = subprocess.run(
        [sys.executable, "-c", script], env=behind_caddy.environment, capture_output=True, text=True, check=True
    )
    assert "ARGOS" not in shown.stdout


@pytest.mark.threat("SEC-4")
def test_a_wrong_master_key_is_refused_with_the_key_ids_and_nothing_is_served(stopped: Runtime) -> None:
    assert stopped.argos("user", "first-admin", "admin", "--password-stdin", stdin=PASSWORD).returncode == 0
    other = base64.b64encode(bytes(32)).decode()
    refused = stopped.argos("serve", ARGOS_MASTER_KEY=other)
    assert refused.returncode == 78
    assert "wants the key with id" in refused.stderr
    assert "Traceback" not in refused.stderr
    assert other not in refused.stderr
    assert not stopped.admin_socket.exists()
    assert not stopped.epoch.exists() or stopped.epoch.read_bytes() in {b"", bytes(16)}
    doctor = stopped.argos("doctor", "--json", ARGOS_MASTER_KEY=other)
    assert doctor.returncode == 1
    checks = {check["name"]: check for check in json.loads(doctor.stdout)["checks"]}
    assert checks["master key"]["state"] == "failed"
    assert checks["database"]["state"] == "ok"


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("ARGOS_MASTER_KEY", "c2hvcnQ="),
        ("ARGOS_MASTER_KEY", ""),
        ("ARGOS_MODE", "sideways"),
        ("ARGOS_PANEL_LISTEN", "everywhere"),
        ("ARGOS_DATA_DIR", "relative/path"),
        ("ARGOS_DATA_DIR", "/nonexistent/argos"),
    ],
)
def test_a_wrong_setting_is_named_and_exits_78(stopped: Runtime, variable: str, value: str) -> None:
    refused = stopped.argos("serve", **{variable: value})
    assert refused.returncode == 78
    assert variable in refused.stderr
    assert len(refused.stderr.splitlines()) == 1


def test_a_taken_port_is_one_message(lan: Runtime, stopped: Runtime) -> None:
    refused = stopped.argos("serve", ARGOS_PANEL_LISTEN=f"127.0.0.1:{lan.port}")
    assert refused.returncode == 69
    assert "cannot listen" in refused.stderr
    assert "Traceback" not in refused.stderr


@pytest.mark.threat("FWD-2")
def test_the_epoch_advances_before_anything_is_served_and_the_heart_beats(stopped: Runtime) -> None:
    stopped.start()
    first, _unused = epoch_words(stopped)
    assert first != 0
    until(lambda: time.monotonic_ns() - epoch_words(stopped)[1] < 2_000_000_000)
    assert stopped.stop() == 0
    stopped.start()
    second, _unused = epoch_words(stopped)
    assert second > first
    assert stopped.epoch.stat().st_size == 16


def was_read(peer: socket.socket) -> bool:
    """Whether the process at the other end, on this machine, has accepted the connection and read all that came."""
    ours, theirs = peer.getsockname()[1], peer.getpeername()[1]
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        ports = tuple(int(fields[number].rpartition(":")[2], 16) for number in (1, 2))
        if ports == (theirs, ours):  # proc(5): an inode of 0 is of nobody's, as a connection in the queue is
            return fields[9] != "0" and fields[4].endswith(":00000000")
    return False


def test_sigterm_lets_a_sign_in_under_way_finish(stopped: Runtime) -> None:
    stopped.start()
    stopped.declare()
    stopped.people()
    body = f"username=alice&password={PASSWORD.replace(' ', '+')}&rd=/".encode()
    head = (
        f"POST /login HTTP/1.1\r\nHost: {stopped.host}\r\nOrigin: {stopped.origin}\r\n"
        f"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {len(body)}\r\n\r\n"
    ).encode()
    with socket.create_connection(("127.0.0.1", stopped.port), timeout=20) as peer:
        peer.sendall(head + body)
        until(lambda: was_read(peer))
        assert stopped.stop() == 0
        assert peer.recv(65536).startswith(b"HTTP/1.1 303")
    assert "Traceback" not in stopped.log.read_text()


@pytest.mark.threat("LOG-5")
def test_the_command_line_revokes_at_once_while_serve_runs(lan: Runtime) -> None:
    lan.person("leaver", "admin")
    browser = Browser(lan, "127.0.0.20")
    assert browser.sign_in("leaver").status_code == 303
    assert browser.get("/hosts").status_code == 200
    before, _unused = epoch_words(lan)
    disabled = lan.argos("user", "disable", "leaver", SUDO_USER="operator")
    assert (disabled.returncode, disabled.stderr) == (0, "")
    assert epoch_words(lan)[0] > before
    assert browser.get("/hosts").headers["Location"].startswith("/login")
    assert lan.rows("SELECT actor FROM audit WHERE action = 'user.update'") == [("cli:operator",)]
    assert lan.argos("user", "disable", "leaver").stdout == "leaver: is disabled (unchanged)\n"
    assert lan.argos("user", "enable", "leaver").stdout == "leaver: is enabled\n"
    assert Browser(lan, "127.0.0.20").sign_in("leaver").status_code == 303
    reset = lan.argos("user", "reset-password", "leaver", "--password-stdin", "--json", stdin=NEW + "\n")
    assert json.loads(reset.stdout)["user"]["must_change_password"] is True
    changed = Browser(lan, "127.0.0.20").sign_in("leaver", NEW)
    assert changed.headers["Location"].startswith("/password")
    gone = lan.argos("user", "delete", "leaver", "--json")
    assert (json.loads(gone.stdout)["changed"], json.loads(gone.stdout)["after"]) == (True, None)
    assert lan.argos("user", "delete", "leaver").returncode == 66
    assert "leaver" not in lan.argos("user", "list").stdout


def test_the_command_line_works_without_serve(stopped: Runtime) -> None:
    made = stopped.argos("user", "first-admin", "admin", "--password-stdin", "--json", stdin=PASSWORD)
    assert made.returncode == 0, made.stderr
    assert json.loads(made.stdout)["changed"] is True
    again = stopped.argos("user", "first-admin", "other", "--password-stdin", stdin=PASSWORD)
    assert again.returncode == 1
    assert "Set-up is complete" in again.stderr
    stored = stopped.argos("secret", "set", "token", "--stdin", "--json", stdin="s3cret-value")
    assert json.loads(stored.stdout) == {"changed": True, "version": 1, "warnings": []}
    again = stopped.argos("secret", "set", "token", "--stdin", "--json", stdin="s3cret-value")
    assert json.loads(again.stdout)["changed"] is False
    assert [one["name"] for one in json.loads(stopped.argos("secret", "list", "--json").stdout)["secrets"]] == ["token"]
    status = stopped.argos("status", "--json")
    assert status.returncode == 1
    assert json.loads(status.stdout)["serving"] is False
    shown = stopped.argos("config", "show")
    declared = json.loads(shown.stdout)
    assert {"settings", "hosts"} <= declared.keys()
    assert not any(declared.values()), "nothing of any kind"
    for output in (made, stored, status, shown):
        assert "s3cret-value" not in output.stdout + output.stderr
        assert PASSWORD not in output.stdout + output.stderr


def test_help_shows_examples_and_wrong_usage_exits_2(stopped: Runtime) -> None:
    for words in ([], ["user"], ["user", "create"], ["secret", "set"], ["config", "apply"], ["doctor"], ["serve"]):
        shown = stopped.argos(*words, "--help")
        assert shown.returncode == 0
        assert "usage: argos" in shown.stdout
    assert "examples:" in stopped.argos("--help").stdout
    assert stopped.argos("nonsense").returncode == 2
    assert stopped.argos("user", "create", "x", stdin="").returncode == 2


def test_a_config_that_is_wrong_names_every_field(stopped: Runtime, tmp_path) -> None:
    document = tmp_path / "edge.json"
    document.write_text('{"hosts": [{"name": "no_fqdn", "upstreams": [{"url": "ftp://x"}], "waf": {"mode": "maybe"}}]}')
    refused = stopped.argos("config", "plan", str(document))
    assert refused.returncode == 1
    for field in ("name", "upstreams[0].url", "waf.mode"):
        assert field in refused.stderr
    assert stopped.argos("config", "plan", str(tmp_path / "nothing.json")).returncode == 66


def test_the_gates_word_of_a_session_seen_is_stored_and_rubbish_dropped(behind_caddy: Runtime) -> None:
    browser = Browser(behind_caddy, "203.0.113.30")
    browser.sign_in()
    digest = sha256(browser.cookies[behind_caddy.edge_cookie].encode()).digest()
    behind_caddy.write("UPDATE sessions SET last_seen_at = last_seen_at - 1000 WHERE edge_token_hash = ?", digest)
    query = "SELECT last_seen_at FROM sessions WHERE edge_token_hash = ?"
    old = behind_caddy.rows(query, digest)[0][0]
    counter, _unused = epoch_words(behind_caddy)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as gate:
        for datagram in (b"", b"short", b"x" * 33, os.urandom(32), digest, digest):
            gate.sendto(datagram, str(behind_caddy.seen))
    until(lambda: behind_caddy.rows(query, digest)[0][0] > old + 500)
    assert epoch_words(behind_caddy)[0] == counter, "being seen revokes nothing"


def test_memory_stays_small(behind_caddy: Runtime) -> None:
    process = behind_caddy.process
    assert process is not None
    Browser(behind_caddy, "203.0.113.31").sign_in()
    behind_caddy.admin("GET", "/v1/health")
    status = Path(f"/proc/{process.pid}/status").read_text()
    resident = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS"))
    assert resident < 110 * 1024, f"{resident // 1024} MiB"


def test_a_stop_that_reaches_a_halted_process_ends_it_all_the_same(stopped: Runtime) -> None:
    """As systemd-shutdown does it: all stopped, then SIGTERM, then all go on; any thread may take the signal."""
    stopped.start()
    process = stopped.process
    assert process is not None
    process.send_signal(signal.SIGSTOP)
    state = Path(f"/proc/{process.pid}/stat")
    until(lambda: state.read_text().rpartition(")")[2].split()[0] == "T")
    process.send_signal(signal.SIGTERM)
    process.send_signal(signal.SIGCONT)
    assert process.wait(60) == 0
    stopped.process = None


@pytest.mark.threat("DAT-3")
def test_each_change_is_copied_to_the_log_where_that_is_wanted_and_only_there(stopped: Runtime) -> None:
    def copied() -> list[dict[str, object]]:
        *whole, _begun = stopped.log.read_text().split("\n")
        lines = [line for line in whole if line.startswith("INFO argos.audit: ")]
        return [json.loads(line.partition(": ")[2]) for line in lines]

    stopped.extra = {"ARGOS_AUDIT_JOURNAL": "1", "ARGOS_LOG_LEVEL": "ERROR"}
    stopped.start()
    values = iter(range(10**6))

    def another_is_copied() -> bool:
        value = {"value": f"a planted value {next(values)}"}
        assert stopped.admin("PUT", "/v1/secrets/token", value).status_code == 200
        return bool(copied())

    until(another_is_copied, told=stopped.log.read_text)  # what was there at the first round is not
    made = {"username": "bob", "password": NEW}
    assert stopped.admin("POST", "/v1/users", made, **{"Argos-Actor": "ansible:carol"}).status_code == 201
    rows = stopped.admin("GET", "/v1/audit?limit=500").json()["entries"]
    until(lambda: copied()[-1]["id"] == rows[0]["id"], told=stopped.log.read_text)
    told = copied()
    assert told == [row for row in reversed(rows) if row["id"] >= told[0]["id"]]
    assert (told[-1]["action"], told[-1]["target"]) == ("user.create", "user/bob")
    log = stopped.log.read_text()
    assert "a planted value" not in log
    assert NEW not in log
    stopped.stop()
    stopped.extra = {"ARGOS_AUDIT_JOURNAL": "0"}
    before = len(copied())
    stopped.start()
    assert stopped.admin("DELETE", "/v1/users/bob").status_code == 200
    stopped.stop()
    assert len(copied()) == before
