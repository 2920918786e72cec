"""A full disk and a damaged database: what goes on, what stops, and what is said of it."""

from __future__ import annotations

import json
import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from gate_process import gate_process
from panel_runtime import GUARDED, Browser, Runtime
from waiting import until


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Runtime]:
    """A runtime whose data lie on a file system of 12 MiB."""
    made = Runtime(tmp_path, "behind_caddy")
    data = tmp_path / "data"
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=12m,mode=0750", "tmpfs", str(data)], check=True)
    try:
        yield made
    finally:
        made.stop()
        subprocess.run(["umount", "--lazy", str(data)], check=True)


@pytest.fixture
def gate(small: Runtime) -> Iterator[httpx.Client]:
    """``argos gate`` on the same data, started once the runtime runs."""
    small.start()
    small.declare()
    small.people()
    with (
        gate_process(small.environment),
        httpx.Client(
            transport=httpx.HTTPTransport(uds=small.environment["ARGOS_GATE_SOCKET"]),
            base_url="http://gate",
            timeout=30,
        ) as client,
    ):
        yield client


def decision(gate: httpx.Client, runtime: Runtime, browser: Browser) -> int:
    """What the gate decides of a browser's request to the guarded host."""
    facts = {
        "Argos-Host-Id": GUARDED,
        "Argos-Client-Ip": "203.0.113.10",
        "X-Forwarded-Method": "GET",
        "X-Forwarded-Proto": "https",
        "X-Forwarded-Host": GUARDED,
        "X-Forwarded-Uri": "/",
        "Cookie": f"{runtime.edge_cookie}={browser.cookies[runtime.edge_cookie]}",
    }
    return gate.get("/verify", headers=facts).status_code


def fill(directory: Path) -> Path:
    """Leave no byte free."""
    ballast = directory / "ballast"
    with ballast.open("wb", buffering=0) as file:
        for size in (1 << 20, 4096, 1):
            try:
                while True:
                    file.write(b"x" * size)
            except OSError:
                continue
    return ballast


@pytest.mark.threat("DAT-4")
def test_a_full_disk_leaves_the_panel_and_the_gate_serving(small: Runtime, gate: httpx.Client) -> None:
    browser = Browser(small)
    assert browser.sign_in("root-admin").status_code == 303
    stored = small.admin("PUT", "/v1/secrets/before", {"value": "an acknowledged value"})
    assert stored.status_code == 200
    backups, caddy = small.root / "data/backups", small.root / "caddy"
    backups.mkdir()
    caddy.mkdir()
    ballast = fill(small.root / "data")
    # Writes may fit into space that the database holds already; use that up too.
    refused = None
    for number in range(400):
        answer = small.admin("PUT", f"/v1/secrets/after-{number}", {"value": "x" * 30_000})
        if answer.status_code != 200:
            refused = answer
            break
    assert refused is not None
    assert refused.status_code == 503
    assert "full" in refused.json()["error"]["message"]
    elsewhere = {"ARGOS_BACKUP_DIR": str(backups), "ARGOS_CADDY_STORAGE": str(caddy)}
    refused_backup = small.argos("backup", "create", **elsewhere)
    assert refused_backup.returncode == 69
    # On a full disk the failure cannot be put on record either: that is said beside its reason, which stands last.
    *beside, reason = refused_backup.stderr.splitlines()
    assert "free" in reason
    assert [line for line in beside if "is not on record" not in line] == []
    rotation = small.argos("key", "rotate", "--reencrypt", **elsewhere)
    assert rotation.returncode in {0, 69}, rotation.stderr  # a few rows may fit into what the log gave back
    for page in ("/hosts", "/people", "/audit", "/secrets"):
        assert browser.get(page).status_code == 200, page
    assert decision(gate, small, browser) == 200
    late = Browser(small, "203.0.113.44").sign_in()
    assert late.status_code in {303, 503}
    assert small.process is not None
    assert small.process.poll() is None
    checks = small.admin("GET", "/v1/health").json()["checks"]
    assert next(check for check in checks if check["name"] == "disk")["state"] == "failed"
    ballast.unlink()
    assert small.admin("PUT", "/v1/secrets/after", {"value": "there is space again"}).status_code == 200
    assert Browser(small, "203.0.113.45").sign_in().status_code == 303
    assert (
        small.admin("PUT", "/v1/secrets/before?check=true", {"value": "an acknowledged value"}).json()["changed"]
        is False
    )
    assert small.admin("GET", "/v1/audit/verify").json()["sound"] is True
    assert "Traceback" not in small.log.read_text()
    assert "Almost no space left" in small.log.read_text()


def test_a_damaged_database_is_noticed_at_the_start_and_by_the_doctor(stopped: Runtime) -> None:
    stopped.start()
    stopped.people()
    for number in range(30):
        stopped.admin("PUT", f"/v1/secrets/s{number}", {"value": f"{number}" * 2000})
    stopped.stop()
    with sqlite3.connect(stopped.database) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        page_size = connection.execute("PRAGMA page_size").fetchone()[0]
        root = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'named_secrets'").fetchone()[0]
    connection.close()
    with stopped.database.open("r+b") as file:
        file.seek((root - 1) * page_size)
        file.write(b"\xff" * page_size)
    refused = stopped.argos("serve")
    assert refused.returncode == 69
    assert "it is damaged and cannot be used" in refused.stderr
    assert "Traceback" not in refused.stderr
    doctor = stopped.argos("doctor")
    assert doctor.returncode == 1
    assert "is damaged" in doctor.stdout


@pytest.mark.threat("DAT-4")
def test_status_tells_how_full_every_table_and_map_is_the_gates_too(small: Runtime, gate: httpx.Client) -> None:
    browser = Browser(small)
    assert browser.sign_in().status_code == 303

    def is_kept() -> bool:
        assert decision(gate, small, browser) == 200
        return int(gate.get("/healthz").json()["cached_answers"]) > 0

    until(is_kept)  # where the runtime's heartbeat is late, the gate keeps nothing
    told = json.loads(small.argos("status", "--json").stdout)
    kept = {row["name"]: row for row in told["kept"]}
    assert {"sessions", "audit", "sign-ins begun, by address"} <= kept.keys()
    for name in ("gate: answers", "gate: sights", "gate: connections"):
        assert 1 <= kept[name]["rows"] <= kept[name]["bound"], name
    assert all(0 <= row["rows"] <= row["bound"] for row in kept.values())
    assert "kept" not in told["gate"]
