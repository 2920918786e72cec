"""``argos audit``: what verify tells of a checkpoint that is gone, and the command that writes a new one."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from argos.application import Application
from argos.audit import Actor
from argos.settings import Settings

pytestmark = pytest.mark.threat("DAT-3")
KEY = bytes(32)


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """The checkpoint beside a database in which something was done."""
    application = Application.from_settings(
        Settings(master_key=KEY, data_dir=tmp_path, epoch_file=tmp_path / "epoch"), password_cost=4
    )
    application.accounts.create(Actor("cli", "root"), "alice", "admin")
    assert application.audit.checkpoint() is True
    application.close()
    return tmp_path / "audit.checkpoint"


def argos(checkpoint: Path, *arguments: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-m", "argos", "audit", *arguments],
        env={
            "PATH": os.environ["PATH"],
            "USER": "carol",
            "ARGOS_MASTER_KEY": base64.b64encode(KEY).decode(),
            "ARGOS_DATA_DIR": str(checkpoint.parent),
            "ARGOS_EPOCH_FILE": str(checkpoint.parent / "epoch"),
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.stderr == ""
    return done.returncode, done.stdout


@pytest.mark.long
def test_a_checkpoint_that_is_gone_is_told_and_a_new_one_written_on_request(checkpoint: Path) -> None:
    assert argos(checkpoint, "verify") == (0, "1 rows from row 1 on: none altered, none missing\n")
    checkpoint.unlink()
    status, said = argos(checkpoint, "verify")
    assert (status, "kept since row 1, is missing" in said) == (1, True)
    facts = json.loads(argos(checkpoint, "verify", "--json")[1])
    assert (facts["sound"], facts["broken"], facts["rows"]) == (False, None, 1)
    assert argos(checkpoint, "checkpoint") == (0, "new checkpoint written; the audit log is intact: 2 rows\n")
    assert argos(checkpoint, "verify")[0] == 0
    [row, _first] = json.loads(argos(checkpoint, "list", "--json")[1])["entries"]
    assert (row["action"], row["actor"]) == ("audit.checkpoint", {"kind": "cli", "name": "carol", "claim": True})
