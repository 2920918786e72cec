"""Builds and runs the two independent OpenID Connect providers; README.md beside this file says what they are."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
CACHE = Path.home() / ".cache" / "argos" / "providers"
sys.path.insert(0, str(HERE.parents[1] / "roles" / "caddy" / "files"))

sys.path.insert(0, str(HERE.parent / "integration"))

import build as caddy_build  # noqa: E402 - it finds the Go that the project builds with
from ports import free_port  # noqa: E402


@dataclass(frozen=True)
class Tls:
    """Files of a key and its certificate."""

    key: Path
    certificate: Path


@contextlib.contextmanager
def running(
    language: str, secret: str, panels: list[str], *, address: str = "127.0.0.1", name: str = "", tls: Tls | None = None
) -> Iterator[str]:
    """Run a provider until the block ends, and give its issuer.

    Args:
        language: ``javascript`` or ``golang``.
        secret: of the client ``argos``.
        panels: origins from which people come.
        address: where it listens.
        name: what browsers and the runtime call it; the address when empty.
        tls: none: plain HTTP.
    """
    command = built(language)
    port = free_port()
    issuer = f"{'https' if tls else 'http'}://{name or address}:{port}"
    told: dict[str, object] = {"issuer": issuer, "address": address, "port": port, "secret": secret, "panels": panels}
    if tls:
        told |= {"key": str(tls.key), "certificate": str(tls.certificate)}
    with tempfile.TemporaryFile() as complaints:
        process = subprocess.Popen(
            command, env={"PATH": os.environ["PATH"]}, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=complaints
        )
        assert process.stdin
        assert process.stdout
        try:
            process.stdin.write(json.dumps(told).encode())
            process.stdin.close()
            if process.stdout.readline() != b"ready\n":
                process.wait(60)
                complaints.seek(0)
                raise AssertionError(f"the provider in {language} ended: {complaints.read().decode()[-2000:]}")
            yield issuer
        finally:
            process.terminate()
            process.wait(60)


def built(language: str) -> list[str]:
    """Return the command that runs a provider, built now or before."""
    sources = sorted(file for file in (HERE / language).iterdir() if file.is_file() and file.name != ".gitignore")
    digest = hashlib.sha256()
    for file in sources:
        digest.update(file.name.encode() + b"\0" + hashlib.sha256(file.read_bytes()).digest())
    place = CACHE / f"{language}-{digest.hexdigest()[:24]}"
    if not place.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        with (CACHE / "build.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # pytest-xdist's workers all want it at once
            if not place.exists():
                _build(language, sources, place)
    return [_node("node"), str(place / "server.mjs")] if language == "javascript" else [str(place / "provider")]


def _build(language: str, sources: list[Path], place: Path) -> None:
    with tempfile.TemporaryDirectory(dir=CACHE, prefix="building-") as scratch:
        made = Path(scratch) / "made"
        made.mkdir()
        for file in sources:
            shutil.copy(file, made)
        if language == "javascript":
            _run([_node("npm"), "ci", "--ignore-scripts", "--no-audit", "--no-fund"], made, {})
        else:
            found = caddy_build.go_on_path()
            go = found[0] if found else caddy_build.install_go(CACHE)
            settings = {"CGO_ENABLED": "0", "GOFLAGS": "-mod=readonly", "GOTOOLCHAIN": "local", "GOWORK": "off"}
            _run([go, "build", *caddy_build.FLAGS, "-o", "provider", "."], made, settings)
        made.rename(place)


def _run(command: list[str], place: Path, settings: dict[str, str]) -> None:
    done = subprocess.run(
        command, cwd=place, env={**os.environ, **settings}, capture_output=True, text=True, timeout=400, check=False
    )
    assert done.returncode == 0, f"{' '.join(command)}: {done.stdout[-1000:]}{done.stderr[-2000:]}"


def _node(name: str) -> str:
    found = shutil.which(name)
    assert found, "scripts/prepare test installs node and npm"
    return found
