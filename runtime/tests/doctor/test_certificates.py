"""What the doctor says of certificates, and how urgent it finds it."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pytest
from argos.clock import SystemClock
from argos.doctor.certificates import DAY, check_certificates, judged
from argos.doctor.examine import examine
from argos.edge.certificate_status import CertificateStatus
from argos.settings import Settings
from argos.storage.engine import Storage

NOW = 1_800_000_000
NAME = "photos.home.example"


def status(condition: str, source: str = "auto", left: int = 60 * DAY, **more: Any) -> CertificateStatus:
    certificate = "home" if source == "manual" else ""
    ends = None if condition == "missing" else NOW + left
    return CertificateStatus(NAME, source, certificate, condition, "CA", NOW - DAY, ends, **more)


@pytest.mark.parametrize(
    ("found", "state", "words"),
    [
        (status("valid"), "ok", "1 ok"),
        (status("valid", renew_at=NOW - DAY + 1), "ok", "1 ok"),
        (status("valid", renew_at=NOW - DAY - 1), "warning", "should have been renewed after"),
        (status("valid", left=3 * DAY, renew_at=NOW - DAY - 1), "failed", "should have been renewed after"),
        (status("unused", "manual", left=-DAY), "ok", "Nothing is served"),
        (status("expired", left=-1), "failed", "expired at 2027-01-15"),
        (status("expired", "manual", left=-1), "failed", "expired at"),
        (status("failing", error="denied", failed_at=NOW - 60), "warning", "could not be renewed at"),
        (status("failing", left=6 * DAY, error="denied", failed_at=NOW - 60), "failed", "could not be renewed at"),
        (status("expiring", "manual", left=29 * DAY), "warning", "certificate/home is not renewed automatically"),
        (status("expiring", "manual", left=6 * DAY), "failed", "certificate/home is not renewed automatically"),
        (status("missing"), "warning", "has none yet"),
        (status("missing", error="denied", failed_at=NOW - 60), "failed", " failed"),
        (status("missing", "manual"), "failed", "does not have certificate/home"),
    ],
)
def test_each_condition_has_its_urgency_and_says_what_to_do(found: CertificateStatus, state: str, words: str) -> None:
    finding = judged([found], NOW)
    assert (finding.name, finding.state) == ("certificates", state)
    assert words in finding.message
    assert "denied" not in finding.message, "it may quote a secret"
    if state == "ok":
        assert finding.advice == ""
    elif found.source != "manual":
        assert "sudo argos certificates" in finding.advice
    else:
        assert ("argos secret list" if found.condition == "missing" else "newer chain") in finding.advice


def test_the_worst_of_many_come_first_and_all_are_counted() -> None:
    found = [status("valid"), *[status("missing")] * 7, status("expired", left=-1)]
    finding = judged(found, NOW)
    assert finding.state == "failed"
    assert finding.message.startswith(f"Of 9: {NAME} expired")
    assert finding.message.endswith("; and 3 more.")
    assert judged([], NOW).message == "Nothing is served over TLS."


def test_without_caddy_or_a_database_it_cannot_tell(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, caddy_socket=tmp_path / "caddy.sock", lapi_url="http://127.0.0.1:9")
    assert check_certificates(settings).state == "unknown"
    storage = Storage(settings.database, SystemClock())
    storage.migrate()
    storage.close()
    finding = check_certificates(settings)
    assert (finding.state, finding.advice) == ("unknown", "Fix Caddy first.")
    with sqlite3.connect(settings.database) as connection:
        connection.execute("INSERT INTO resources VALUES ('host', ?, '{\"name\": 5}', 'a', 0)", (NAME,))
    connection.close()
    finding = check_certificates(settings)
    assert (finding.state, f"host/{NAME}" in finding.message) == ("unknown", True)
    assert "certificates" in [one.name for one in examine(settings)]
