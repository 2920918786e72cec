"""Builds and runs pebble and its challenge server; README.md beside this file says what they are."""

from __future__ import annotations

import contextlib
import datetime
import fcntl
import hashlib
import json
import os
import shutil
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

HERE = Path(__file__).resolve().parent
CACHE = Path.home() / ".cache" / "argos" / "acme"
PROGRAMS = ("pebble", "pebble-challtestsrv")
sys.path[:0] = [str(HERE.parents[1] / "roles" / "caddy" / "files"), str(HERE.parent / "integration")]

import build as caddy_build  # noqa: E402 - it finds the Go that the project builds with
from ports import free_port  # noqa: E402


def built() -> Path:
    """Return the directory of the two programs, built now or before."""
    sources = sorted((HERE / "servers").iterdir())
    digest = hashlib.sha256(b"".join(file.name.encode() + b"\0" + file.read_bytes() for file in sources))
    place = CACHE / digest.hexdigest()[:24]
    if not place.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        with (CACHE / "build.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not place.exists():
                _build(sources, place)
    return place


def _build(sources: list[Path], place: Path) -> None:
    with tempfile.TemporaryDirectory(dir=CACHE, prefix="building-") as scratch:
        made = Path(scratch) / "made"
        made.mkdir()
        for file in sources:
            shutil.copy(file, made)
        found = caddy_build.go_on_path()
        go = found[0] if found else caddy_build.install_go(CACHE)
        settings = {"CGO_ENABLED": "0", "GOFLAGS": "-mod=readonly", "GOTOOLCHAIN": "local", "GOWORK": "off"}
        packages = [f"github.com/letsencrypt/pebble/v2/cmd/{name}" for name in PROGRAMS]
        done = subprocess.run(
            ["nice", "-n", "10", go, "build", *caddy_build.FLAGS, "-o", f"{made}/", *packages],
            cwd=made, env={**os.environ, **settings}, capture_output=True, text=True, timeout=400, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr[-2000:]
        made.rename(place)


@dataclass
class Authority:
    """A private root that signs servers' certificates, all files in one directory."""

    place: Path
    key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))

    def __post_init__(self) -> None:
        self.place.mkdir(parents=True, exist_ok=True)
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Test root")])
        builder = self._builder(self.name, self.key, 30)
        self.root = builder.add_extension(x509.BasicConstraints(True, None), critical=True).sign(
            self.key, hashes.SHA256()
        )
        self.pem = self.root.public_bytes(serialization.Encoding.PEM).decode()
        self.file = self.place / "root.pem"
        self.file.write_text(self.pem)

    def sign(self, *names: str, days: float = 90, key: ec.EllipticCurvePrivateKey | None = None) -> tuple[str, str]:
        """A server's chain and key, both PEM; ``127.0.0.1`` goes in as an address."""
        key = key or ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0])])
        import ipaddress

        san = [
            x509.IPAddress(ipaddress.ip_address(name)) if name[0].isdigit() else x509.DNSName(name) for name in names
        ]
        certificate = (
            self._builder(subject, key, days)
            .add_extension(x509.SubjectAlternativeName(san), critical=False)
            .sign(self.key, hashes.SHA256())
        )
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return certificate.public_bytes(serialization.Encoding.PEM).decode(), private.decode()

    def _builder(self, subject: x509.Name, key: ec.EllipticCurvePrivateKey, days: float) -> x509.CertificateBuilder:
        now = datetime.datetime.now(datetime.UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self.name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=min(1, max(0.0, 100 - days))))
            .not_valid_after(now + datetime.timedelta(days=days))
        )


class Pebble:
    """The CA with its challenge server.

    Args:
        place: a directory of its own.
        http_port: where it looks for http-01 answers.
        tls_port: where it looks for tls-alpn-01 answers.
        validity: seconds that its certificates live.
        address: of this machine, where the CA listens.
        resolves_to: the IPv4 address that every name has for it.
    """

    def __init__(
        self,
        place: Path,
        http_port: int,
        tls_port: int,
        *,
        validity: int = 7_776_000,
        address: str = "127.0.0.1",
        resolves_to: str = "127.0.0.1",
    ) -> None:
        self.authority = Authority(place / "pebble")
        self.address, self._resolves_to = address, resolves_to
        self.port, self.management, self.dns, self.challenges = free_port(), free_port(), free_port(), free_port()
        chain, key = self.authority.sign("localhost", "127.0.0.1", address)
        (self.authority.place / "cert.pem").write_text(chain)
        (self.authority.place / "key.pem").write_text(key)
        told = {
            "listenAddress": f"{address}:{self.port}",
            "managementListenAddress": f"127.0.0.1:{self.management}",
            "certificate": str(self.authority.place / "cert.pem"),
            "privateKey": str(self.authority.place / "key.pem"),
            "httpPort": http_port,
            "tlsPort": tls_port,
            "keyAlgorithm": "ecdsa",
            "retryAfter": {"authz": 1, "order": 1},
            "profiles": {"default": {"description": "default", "validityPeriod": validity}},
        }
        self._config = self.authority.place / "pebble.json"
        self._config.write_text(json.dumps({"pebble": told}))
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    @property
    def directory(self) -> str:
        """The ACME directory's URL."""
        return f"https://{self.address}:{self.port}/dir"

    def __enter__(self) -> Self:
        bind = f"127.0.0.1:{self.dns}"
        self._run(
            "pebble-challtestsrv", "-dnsserver", bind, "-management", f"127.0.0.1:{self.challenges}",
            "-http01", "", "-https01", "", "-tlsalpn01", "", "-doh", "", "-defaultIPv6", "",
            "-defaultIPv4", self._resolves_to,
        )  # fmt: skip
        self.start()
        return self

    def __exit__(self, *_unused: object) -> None:
        for name in list(self._running):
            self.stop(name)

    def start(self) -> None:
        """Run the CA, and wait until it answers."""
        self._run("pebble", "-config", str(self._config), "-dnsserver", f"127.0.0.1:{self.dns}")
        context = ssl.create_default_context(cadata=self.authority.pem)
        deadline = time.monotonic() + 60
        while True:
            try:
                urllib.request.urlopen(self.directory, context=context, timeout=20).close()
            except OSError:
                assert time.monotonic() < deadline, (self.authority.place / "pebble.log").read_text()[-2000:]
                time.sleep(0.05)
            else:
                return

    def stop(self, name: str = "pebble") -> None:
        """End one of the two."""
        process = self._running.pop(name)
        process.terminate()
        process.wait(60)

    def root(self) -> str:
        """The root that its certificates lead to, PEM; another after each start."""
        context = ssl.create_default_context(cadata=self.authority.pem)
        with urllib.request.urlopen(f"https://127.0.0.1:{self.management}/roots/0", context=context, timeout=5) as told:
            return told.read().decode()

    def log(self) -> str:
        """What the CA said."""
        return (self.authority.place / "pebble.log").read_text()

    def _run(self, name: str, *arguments: str) -> None:
        environment = {"PATH": os.environ["PATH"], "PEBBLE_VA_NOSLEEP": "1", "PEBBLE_WFE_NONCEREJECT": "0"}
        with (self.authority.place / f"{name}.log").open("ab") as out:
            command = [str(built() / name), *arguments]
            self._running[name] = subprocess.Popen(command, stdout=out, stderr=out, env=environment)

    @contextlib.contextmanager
    def away(self) -> Iterator[None]:
        """The CA is out of order within the block; it forgets nothing but what it has in memory."""
        self.stop()
        try:
            yield
        finally:
            self.start()
