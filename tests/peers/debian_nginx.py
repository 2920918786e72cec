"""Debian's nginx with ModSecurity, unpacked from its packages beside the system, so that no service is set up."""

from __future__ import annotations

import fcntl
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

CACHE = Path.home() / ".cache" / "argos" / "debian-nginx"
PACKAGES = ("nginx", "libnginx-mod-http-modsecurity")


@dataclass(frozen=True)
class Nginx:
    """Where its parts are: the system's own where it has them, else below the cache."""

    binary: Path
    modsecurity_module: Path
    settings: Path
    """Debian's /etc/nginx: modsecurity.conf and unicode.mapping."""
    environ: dict[str, str]
    """What the binary needs to find its libraries."""


def nginx() -> Nginx:
    """Return it, fetched once with what it depends on and this machine lacks.

    Raises:
        subprocess.CalledProcessError: the package index cannot be reached.
    """
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (CACHE / "complete").exists():
            _fetch()
            (CACHE / "complete").touch()
    libraries = ":".join(str(CACHE / below) for below in ("usr/lib/x86_64-linux-gnu", "usr/lib/aarch64-linux-gnu"))
    return Nginx(
        _found("usr/sbin/nginx"),
        _found("usr/lib/nginx/modules/ngx_http_modsecurity_module.so"),
        _found("etc/nginx/modsecurity.conf").parent,
        {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LD_LIBRARY_PATH": libraries},
    )


def _fetch() -> None:
    archives = CACHE / "archives"
    (archives / "partial").mkdir(parents=True, exist_ok=True)
    fetch = [
        "apt-get",
        "install",
        "-d",
        "-y",
        "-qq",
        "--no-install-recommends",
        "-o",
        f"Dir::Cache::archives={archives}",
    ]
    fetch += ["-o", "APT::Sandbox::User=root", "-o", "DPkg::Lock::Timeout=120", *PACKAGES]
    environ = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    if subprocess.run(fetch, check=False, capture_output=True, env=environ).returncode:
        subprocess.run(["apt-get", "update", "-qq"], check=True)
        subprocess.run(fetch, check=True, env=environ)
    for package in sorted(archives.glob("*.deb")):
        subprocess.run(["dpkg", "-x", str(package), str(CACHE)], check=True)


def _found(path: str) -> Path:
    """Return the file below the cache, or the system's."""
    for place in (CACHE / path, Path("/") / path):
        if place.exists():
            return place
    raise FileNotFoundError(f"/{path}: neither this machine nor {CACHE} has it; remove {CACHE} to fetch it again")
