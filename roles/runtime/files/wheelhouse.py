"""Gather, on the controller, one archive that installs the runtime on a guest without an index.

The archive holds the locked wheels for the *guest's* Python, libc and architecture, the runtime's own wheel and the
lock. It is named after the hash of all that, kept in a cache, and made only when it is not there.

Prints one JSON object: {"archive": path, "digest": hex, "wheel": file name, "changed": bool}.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path

MUSL_SINCE = (1, 1)
GLIBC_SINCE = (2, 17)  # what manylinux2014 means (PEP 599)
KEPT_SECONDS = 30 * 24 * 3600  # an archive unused for so long is forgotten when another is made


def platforms(libc: str, version: str, machine: str) -> list[str]:
    """Return the wheel platforms that such a system runs, newest first (PEP 600, PEP 656).

    ``libc`` is "glibc" or "musl", ``version`` its "major.minor", ``machine`` as ``uname -m`` says it.
    Raises ValueError when one of them is not that.
    """
    major, minor = (int(part) for part in version.split(".")[:2])
    if libc == "glibc":
        since = GLIBC_SINCE if major == GLIBC_SINCE[0] else (major, 0)
        newest = [f"manylinux_{major}_{number}_{machine}" for number in range(minor, since[1] - 1, -1)]
        return [*newest, f"manylinux2014_{machine}", f"linux_{machine}"]
    if libc == "musl":
        return [f"musllinux_{major}_{number}_{machine}" for number in range(minor, MUSL_SINCE[1] - 1, -1)]
    raise ValueError(f"libc {libc!r} is neither glibc nor musl")


def digest_of(*parts: bytes) -> str:
    """Return a SHA-256 in hex over the parts, each marked off by its own hash."""
    total = hashlib.sha256()
    for part in parts:
        total.update(hashlib.sha256(part).digest())
    return total.hexdigest()


def download(lock: Path, target: Path, python_version: str, systems: list[str]) -> None:
    """Download the locked wheels; exits with pip's own words when one cannot be had."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    command += ["--require-hashes", "--only-binary=:all:", "--requirement", str(lock), "--dest", str(target)]
    command += ["--implementation", "cp", "--python-version", python_version]
    for system in systems:
        command += ["--platform", system]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"no wheels for Python {python_version} on {systems[0]}:\n{done.stderr.strip()}")


def pack(directory: Path, archive: Path) -> None:
    """Write the directory's files into a tar of its own, complete or not at all."""
    draft = archive.with_suffix(".part")
    with tarfile.open(draft, "w") as tar:
        for path in sorted(directory.iterdir()):
            tar.add(path, arcname=path.name, recursive=False)
    draft.replace(archive)


def forget_unused(cache: Path) -> None:
    """Remove the archives that no run has used for long; each is 16 MB."""
    for archive in cache.glob("argos-*.tar"):
        if archive.stat().st_mtime < time.time() - KEPT_SECONDS:
            archive.unlink(missing_ok=True)


def main() -> int:
    """Print where the archive stands, having made it when it did not."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=Path, required=True, help="where the wheel and the lock stand")
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--python-version", required=True, help="the guest's, such as 3.11")
    parser.add_argument("--libc", required=True, choices=["glibc", "musl"])
    parser.add_argument("--libc-version", required=True)
    parser.add_argument("--machine", required=True)
    parser.add_argument("--index", action="store_true", help="leave the locked wheels out: the guest has an index")
    parser.add_argument("--check", action="store_true", help="only say where the archive would stand")
    arguments = parser.parse_args()
    wheel = next(arguments.files.glob("argos_edge-*.whl"))
    lock = arguments.files / "requirements.lock"
    systems = platforms(arguments.libc, arguments.libc_version, arguments.machine)
    source = "index" if arguments.index else json.dumps(systems)
    digest = digest_of(lock.read_bytes(), wheel.read_bytes(), arguments.python_version.encode(), source.encode())
    archive = arguments.cache / f"argos-{digest[:32]}.tar"
    missing = not archive.exists()
    if missing and not arguments.check:
        arguments.cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=arguments.cache) as directory:
            gathered = Path(directory)
            if not arguments.index:
                download(lock, gathered, arguments.python_version, systems)
            for file in (wheel, lock):
                (gathered / file.name).write_bytes(file.read_bytes())
            pack(gathered, archive)
        forget_unused(arguments.cache)
    elif not missing and not arguments.check:
        archive.touch()
    answer = {"archive": str(archive), "digest": digest[:32], "wheel": wheel.name, "changed": missing}
    print(json.dumps(answer))
    return 0


if __name__ == "__main__":
    sys.exit(main())
