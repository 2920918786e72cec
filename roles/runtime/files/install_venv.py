"""Install the runtime on the guest: a venv of its own for each release, made whole before it is used.

Releases stand in ROOT/venvs/DIGEST; ROOT/venv is a link to the one in use, moved by one rename, so that a service
started at any moment finds the old or the new, never a half. A release that was interrupted is made anew. The one
in use before is kept; older ones go.

Prints one JSON object: {"changed": bool}.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

COMPLETE = ".complete"


def run(*command: str) -> None:
    """Run a command; exit with its own words when it fails."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"{' '.join(command[:4])} … failed:\n{done.stdout.strip()}\n{done.stderr.strip()}")


def unpack(archive: Path, target: Path) -> None:
    """Unpack plain files at the top level; anything else in the archive is refused."""
    with tarfile.open(archive) as tar:
        for member in tar.getmembers():
            if not member.isfile() or "/" in member.name or member.name.startswith("."):
                sys.exit(f"{archive}: unexpected member {member.name!r}")
            source = tar.extractfile(member)
            if source is not None:
                with source, (target / member.name).open("wb") as file:
                    shutil.copyfileobj(source, file)


def make_release(release: Path, archive: Path, python: str, *, index: bool) -> None:
    """Make the venv from the archive: every requirement by its hash, then our own wheel without dependencies."""
    shutil.rmtree(release, ignore_errors=True)
    release.parent.mkdir(parents=True, exist_ok=True)
    run(python, "-m", "venv", str(release))
    pip = [str(release / "bin" / "python"), "-m", "pip", "install", "--disable-pip-version-check", "--no-cache-dir"]
    with tempfile.TemporaryDirectory(dir=release) as directory:
        wheels = Path(directory)
        unpack(archive, wheels)
        wheel = next(wheels.glob("argos_edge-*.whl"))
        source = ["--only-binary=:all:"] if index else ["--no-index", f"--find-links={wheels}"]
        run(*pip, *source, "--no-deps", "--require-hashes", "--requirement", str(wheels / "requirements.lock"))
        run(*pip, "--no-index", "--no-deps", str(wheel))
    run(str(release / "bin" / "python"), "-m", "pip", "check", "--disable-pip-version-check")
    with (release / COMPLETE).open("w", encoding="ascii") as file:
        os.fsync(file.fileno())


def use(root: Path, release: Path) -> bool:
    """Point ROOT/venv at the release; return whether it pointed elsewhere."""
    link = root / "venv"
    wanted = str(release.relative_to(root))
    if link.is_symlink() and str(link.readlink()) == wanted:
        return False
    draft = root / ".venv.new"
    draft.unlink(missing_ok=True)
    draft.symlink_to(wanted)
    draft.replace(link)
    return True


def prune(root: Path, keep: set[str]) -> None:
    """Remove the releases that are neither in use nor the one before."""
    for release in (root / "venvs").iterdir():
        if release.name not in keep:
            shutil.rmtree(release)


def main() -> int:
    """Install the release unless it stands, and take it into use."""
    os.umask(0o022)
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--archive", type=Path, required=True)
    parser.add_argument("--digest", required=True)
    parser.add_argument("--root", type=Path, default=Path("/opt/argos"))
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("--index", action="store_true")
    arguments = parser.parse_args()
    root, link = arguments.root, arguments.root / "venv"
    before = link.readlink().name if link.is_symlink() else ""
    release = root / "venvs" / arguments.digest
    made = not (release / COMPLETE).exists()
    if made:
        make_release(release, arguments.archive, arguments.python, index=arguments.index)
    changed = use(root, release)
    if changed:
        prune(root, {arguments.digest, before})
    print(json.dumps({"changed": changed or made}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
