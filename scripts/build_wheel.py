"""Build the runtime into role runtime: the wheel and its locked requirements, as `make build` wants them.

The wheel depends on nothing but its inputs: the build backend is locked by hash in requirements/build.lock, times
come from SOURCE_DATE_EPOCH (default: 1980-01-01, the oldest time a zip can hold), file modes are normalised. It is
built again only when an input has changed.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
RUNTIME = ROOT / "runtime"
FILES = ROOT / "roles" / "runtime" / "files"
BUILD_LOCK = ROOT / "requirements" / "build.lock"
STAMP = ROOT / ".build" / "wheel" / "stamp"
ZIP_EPOCH = "315532800"  # 1980-01-01T00:00:00Z
SKIPPED = ("__pycache__", "*.pyc", "*.egg-info", "build", ".*")


def python() -> str:
    """Return the checkout's own Python when it has one, else the one running this."""
    own = ROOT / ".venv" / "bin" / "python"
    return str(own) if own.exists() else sys.executable


def inputs() -> list[Path]:
    """Return every file that the wheel is made of, in a fixed order."""
    sources = [path for path in (RUNTIME / "src").rglob("*") if path.is_file()]
    kept = [path for path in sources if "__pycache__" not in path.parts and not path.parent.name.endswith(".egg-info")]
    alone = [RUNTIME / "pyproject.toml", RUNTIME / "requirements.lock", BUILD_LOCK, Path(__file__).resolve()]
    return sorted([*kept, *alone])


def digest_of(paths: list[Path]) -> str:
    """Return the SHA-256 over names and contents."""
    total = hashlib.sha256()
    for path in paths:
        total.update(str(path.relative_to(ROOT)).encode() + b"\0")
        total.update(hashlib.sha256(path.read_bytes()).digest())
    return total.hexdigest()


def backend() -> Path:
    """Install the locked build backend beside the build, once per lock, and return its directory."""
    target = ROOT / ".build" / "wheel" / f"backend-{digest_of([BUILD_LOCK])[:16]}"
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(dir=target.parent))
        command = [python(), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
        command += ["--require-hashes", "--requirement", str(BUILD_LOCK), "--target", str(draft)]
        subprocess.run(command, check=True)
        draft.rename(target)
    return target


def copy_sources(target: Path) -> None:
    """Copy the package so that the build leaves nothing in the tree, with modes that no umask has touched."""
    shutil.copytree(RUNTIME / "src", target / "src", ignore=shutil.ignore_patterns(*SKIPPED))
    shutil.copy(RUNTIME / "pyproject.toml", target / "pyproject.toml")
    for path in target.rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)


def build(target: Path) -> Path:
    """Build the wheel into the directory and return its path."""
    environment = {**os.environ, "PYTHONPATH": str(backend()), "PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1"}
    environment.setdefault("SOURCE_DATE_EPOCH", ZIP_EPOCH)
    with tempfile.TemporaryDirectory(dir=STAMP.parent) as directory:
        source = Path(directory) / "runtime"
        source.mkdir()
        copy_sources(source)
        program = "import sys; from setuptools import build_meta; print(build_meta.build_wheel(sys.argv[1]))"
        command = [python(), "-c", program, str(target)]
        done = subprocess.run(command, cwd=source, env=environment, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            sys.exit(f"build-wheel: the wheel could not be built:\n{done.stdout}{done.stderr}")
    return target / done.stdout.strip().splitlines()[-1]


def main() -> int:
    """Put the wheel and the lock into the role's files, unless what stands there is of these inputs."""
    STAMP.parent.mkdir(parents=True, exist_ok=True)
    FILES.mkdir(parents=True, exist_ok=True)
    digest = digest_of(inputs())
    standing = sorted(FILES.glob("argos_edge-*.whl"))
    stamp = STAMP.read_text(encoding="utf-8").split() if STAMP.exists() else []
    lock = FILES / "requirements.lock"
    if len(standing) == 1 and lock.exists() and stamp == [digest, digest_of([standing[0], lock])]:
        print(f"{standing[0].relative_to(ROOT)} is of these sources already")
        return 0
    with tempfile.TemporaryDirectory(dir=STAMP.parent) as directory:
        wheel = build(Path(directory))
        for old in standing:
            old.unlink()
        final = FILES / wheel.name
        shutil.copyfile(wheel, final)
    shutil.copyfile(RUNTIME / "requirements.lock", lock)
    STAMP.write_text(f"{digest} {digest_of([final, lock])}\n", encoding="utf-8")
    print(f"built {final.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
