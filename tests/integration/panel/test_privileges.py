"""Who a command runs as: root becomes the owner of the data, strangers get one clear sentence."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from panel_runtime import PASSWORD, Runtime

NOBODY = 65534
pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="changing users needs root; CI is root")


@pytest.fixture
def owned_by_nobody() -> Iterator[Runtime]:
    root = Path(tempfile.mkdtemp(prefix="argos-privileges-"))  # pytest's own directories are closed to others
    root.chmod(0o755)
    made = Runtime(root, "lan")
    for path in (root, *root.iterdir()):
        os.chown(path, NOBODY, NOBODY)
    yield made
    made.stop()
    shutil.rmtree(root)


@pytest.mark.threat("SEC-3")
def test_roots_command_leaves_no_file_of_roots_behind(owned_by_nobody: Runtime) -> None:
    made = owned_by_nobody.argos("user", "first-admin", "admin", "--password-stdin", stdin=PASSWORD)
    assert made.returncode == 0, made.stderr
    owned_by_nobody.start()
    assert owned_by_nobody.argos("user", "list").returncode == 0
    left = [path for path in owned_by_nobody.root.rglob("*") if path != owned_by_nobody.log]
    assert owned_by_nobody.database in left
    assert [path for path in left if path.stat().st_uid != NOBODY or path.stat().st_gid != NOBODY] == []
    process = owned_by_nobody.process
    assert process is not None
    status = dict(line.split(":\t", 1) for line in Path(f"/proc/{process.pid}/status").read_text().splitlines())
    assert status["Uid"].split() == status["Gid"].split() == [str(NOBODY)] * 4
    assert status["Groups"].split() in ([], [str(NOBODY)]), "root's groups are gone too"
    # Its /proc entries belong to root although it is nobody's: it is not dumpable, nor is its environ readable.
    assert Path(f"/proc/{process.pid}/environ").stat().st_uid == 0


def test_another_user_gets_one_sentence(owned_by_nobody: Runtime) -> None:
    def become_a_stranger() -> None:
        os.setgroups([])
        os.setgid(64321)
        os.setuid(64321)

    refused = subprocess.run(
        [sys.executable, "-m", "argos", "user", "list"],
        env=owned_by_nobody.environment,
        preexec_fn=become_a_stranger,
        capture_output=True,
        text=True,
        check=False,
    )
    assert refused.returncode == 77, refused.stderr
    assert "sudo" in refused.stderr
    assert len(refused.stderr.splitlines()) == 1
