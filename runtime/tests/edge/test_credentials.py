"""Credentials on tmpfs: what is laid out, for whom, and when nothing is."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest
from argos.audit import Actor, Audit
from argos.clock import SystemClock
from argos.edge.credentials import run, write_credentials
from argos.named_secrets import NamedSecrets
from argos.scrub import Scrubber
from argos.storage.engine import Storage
from argos.vault import Vault

KEY = bytes(range(32))
ACTOR = Actor("cli", "test")


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    (tmp_path / "credentials").mkdir()
    storage = Storage(tmp_path / "argos.db", SystemClock())
    storage.migrate()
    return storage


@pytest.fixture
def secrets(storage: Storage) -> NamedSecrets:
    vault, scrubber = Vault(storage, KEY), Scrubber()
    secrets = NamedSecrets(storage, vault, Audit(storage, vault, scrubber), scrubber)
    secrets.set(ACTOR, "crowdsec-bouncer-key", "the-bouncers-key")
    secrets.set(ACTOR, "token", "the-token")
    return secrets


def environment(place: Path, key: bytes = KEY) -> dict[str, str]:
    return {
        "ARGOS_MASTER_KEY": base64.b64encode(key).decode(),
        "ARGOS_DATA_DIR": str(place),
        "ARGOS_CREDENTIALS_DIR": str(place / "credentials"),
        "ARGOS_EPOCH_FILE": "/proc/no-such-directory/epoch",  # the one-shot may not write there, and needs not
    }


def laid_out(place: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in (place / "credentials").iterdir()}


def test_only_named_secrets_and_the_bouncers_key_are_laid_out(tmp_path: Path, secrets: NamedSecrets) -> None:
    directory = tmp_path / "credentials"
    assert write_credentials(secrets, {"token", "unset"}, directory)
    assert laid_out(tmp_path) == {
        "complete": "",
        "crowdsec-bouncer-key": "the-bouncers-key",
        "secret-token": "the-token",
    }
    assert {path.stat().st_mode & 0o777 for path in directory.iterdir()} == {0o440}
    assert not write_credentials(secrets, {"token"}, directory), "nothing to do the second time"
    assert write_credentials(secrets, (), directory)
    assert set(laid_out(tmp_path)) == {"complete", "crowdsec-bouncer-key"}


def test_the_one_shot_needs_no_running_runtime(tmp_path: Path, secrets: NamedSecrets) -> None:
    assert run(environment(tmp_path)) == 0
    assert laid_out(tmp_path) == {"complete": "", "crowdsec-bouncer-key": "the-bouncers-key"}


@pytest.mark.threat("SEC-4")
def test_a_wrong_master_key_leaves_complete_away_and_prints_no_secret(
    tmp_path: Path, secrets: NamedSecrets, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(environment(tmp_path)) == 0
    assert run(environment(tmp_path, bytes(32))) == 1
    assert "complete" not in laid_out(tmp_path)
    said = capsys.readouterr()
    assert said.err.startswith("argos credentials: ")
    assert said.err.count("\n") == 1
    assert "the-bouncers-key" not in said.err + said.out


def test_a_missing_directory_is_one_line_and_status_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run({**environment(tmp_path), "ARGOS_CREDENTIALS_DIR": "/proc/no-such-directory"}) == 1
    assert capsys.readouterr().err.count("\n") == 1
