"""A guest's directories with real services in them, and the real command in a process of its own."""

from __future__ import annotations

import base64
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from argos.application import Application
from argos.audit import Actor
from argos.settings import Settings

ACTOR = Actor(kind="cli", name="root")
CADDY_FILES = {
    "pki/authorities/local/root.key": b"-----BEGIN PRIVATE KEY-----\nthe CA of this house\n",
    "certificates/local/photos.home.example/photos.home.example.key": b"-----BEGIN PRIVATE KEY-----\nphotos\n",
    "certificates/local/wildcard_.home.example/wildcard_.home.example.crt": b"-----BEGIN CERTIFICATE-----\n",
    "acme/acme.example-directory/users/me@home.example/me.json": b"{}",
}


class Guest:
    """Directories below ``top``, and what happens in them.

    Args:
        top: an empty directory, or one that another key's guest has filled.
        master_key: 32 bytes.
    """

    def __init__(self, top: Path, master_key: bytes) -> None:
        self.top = top
        self.environment = {
            "ARGOS_MASTER_KEY": base64.b64encode(master_key).decode(),
            "ARGOS_DATA_DIR": str(top / "data"),
            "ARGOS_EDGE_DIR": str(top / "edge"),
            "ARGOS_BACKUP_DIR": str(top / "backups"),
            "ARGOS_BACKUP_REQUEST": str(top / "run" / "request"),
            "ARGOS_CADDY_STORAGE": str(top / "caddy"),
            "ARGOS_EPOCH_FILE": str(top / "run" / "epoch"),
            "ARGOS_CREDENTIALS_DIR": str(top / "run" / "credentials"),
            "ARGOS_CADDY_SOCKET": str(top / "run" / "caddy.sock"),
        }
        self.settings = Settings.from_environment(self.environment)
        if (top / "data").exists():
            return
        for name in ("data", "edge", "backups", "caddy", "run", "run/credentials"):
            (top / name).mkdir(parents=True)
        (top / "run" / "epoch").write_bytes(bytes(16))
        for name, content in CADDY_FILES.items():
            path = self.settings.caddy_storage / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)

    @contextmanager
    def services(self) -> Iterator[Application]:
        """The services over this guest's database."""
        application = Application.from_settings(self.settings, password_cost=4)
        try:
            yield application
        finally:
            application.close()

    def run(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """The command ``argos`` with this guest's environment."""
        return subprocess.run(
            [sys.executable, "-m", "argos", *arguments],
            env={**os.environ, **self.environment, **environment},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def run_changed(self, change: Callable[[], None], *arguments: str) -> tuple[int, str]:
        """The command in a fork of this process, in which ``change`` is made first; its exit code and what it says."""
        said = self.top / "said"
        child = os.fork()
        if not child:
            code = 70
            try:
                sys.stdout = sys.stderr = said.open("w", buffering=1, encoding="utf-8")
                os.dup2(sys.stdout.fileno(), 1)
                os.dup2(sys.stdout.fileno(), 2)
                os.environ.update(self.environment)
                change()
                from argos.cli.parser import run

                code = run(arguments)
            finally:
                os._exit(code)
        _unused, status = os.waitpid(child, 0)
        return os.waitstatus_to_exitcode(status), said.read_text()

    def backup(self) -> Path:
        """Make one by the command."""
        done = self.run("backup", "create")
        assert done.returncode == 0, done.stderr
        return self.settings.backup_dir / done.stdout.split()[0]

    def newest_action(self) -> str:
        """What the last row of the record says was done."""
        with closing(sqlite3.connect(self.settings.database)) as connection:
            return str(connection.execute("SELECT action FROM audit ORDER BY id DESC LIMIT 1").fetchone()[0])

    def caddy_files(self) -> dict[str, bytes]:
        """What Caddy's storage holds, but for replaced states."""
        top = self.settings.caddy_storage
        return {
            str(path.relative_to(top)): path.read_bytes()
            for path in top.rglob("*")
            if path.is_file() and not str(path.relative_to(top)).startswith("before-restore-")
        }
