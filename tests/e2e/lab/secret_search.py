"""Looks in a guest for planted secrets: on its disks, in its journal, in Caddy's configuration, in its processes."""

from __future__ import annotations

import base64
import contextlib
import json
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from urllib.parse import quote

from lab.guest import Guest

# Both scripts get on stdin, as one line of JSON, the forms of each value in base64.
_VALUES = r"""
import base64, errno, json, os, pathlib, socket, stat, subprocess, sys
asked = json.loads(sys.stdin.readline())
values = {name: [base64.b64decode(form) for form in forms] for name, forms in asked.items()}
def found_in(data):
    return [name for name, forms in values.items() if any(form in data for form in forms)]
"""

# Prints where it found which, and what it could not read.
_SEARCH = (
    _VALUES
    + r"""
hits, unread = [], []
def look(where, data):
    hits.extend([name, where] for name in found_in(data))
# Before that the guest knew no secret: of what a package holds only what was changed since is read.
begun = os.stat("/usr/lib/tmpfiles.d/argos.conf").st_mtime
HOLD_NO_FILES, PACKAGES = {"proc", "sys"}, {"boot", "opt", "usr"}
PIECE, OVERLAP = 16 << 20, max(len(form) for forms in values.values() for form in forms)
def pieces(stream):
    # A file of any size, in pieces that overlap, without its holes.
    at = 0
    while True:
        try:
            at = os.lseek(stream.fileno(), at, os.SEEK_DATA)
        except OSError as problem:
            if problem.errno == errno.ENXIO:  # nothing but holes follows
                return
            raise
        data = os.pread(stream.fileno(), PIECE, at)
        if not data:
            return
        yield data
        if len(data) < PIECE and not os.pread(stream.fileno(), 1, at + len(data)):
            return
        at += max(len(data) - OVERLAP, 1)
def search(top, since):
    for folder, _, names in os.walk(top):
        for name in names:
            path = os.path.join(folder, name)
            try:
                info = os.lstat(path)
                if not stat.S_ISREG(info.st_mode) or info.st_ctime < since:
                    continue
                there = set()
                with open(path, "rb") as stream:
                    for data in pieces(stream):
                        there.update(found_in(data))
                hits.extend([name, path] for name in sorted(there))
            except FileNotFoundError:
                pass
            except OSError as problem:
                unread.append([path, problem.strerror])
for top in sorted(set(os.listdir("/")) - HOLD_NO_FILES):
    if not os.path.islink("/" + top):
        search("/" + top, begun if top in PACKAGES else 0)
look("journal", subprocess.run(["journalctl", "--no-pager", "-o", "export", "-a"], capture_output=True).stdout)
with socket.socket(socket.AF_UNIX) as admin:
    admin.settimeout(20)
    admin.connect("/run/argos-caddy/admin.sock")
    admin.sendall(b"GET /config/ HTTP/1.0\r\nHost: localhost\r\n\r\n")
    config = b""
    while piece := admin.recv(65536):
        config += piece
assert b"argos" in config, config[:300]
look("/config", config)
holders = subprocess.run(["systemctl", "show", "-p", "MainPID", "--value", "argos"], capture_output=True, text=True)
for process in pathlib.Path("/proc").iterdir():
    if not process.name.isdigit() or int(process.name) == os.getpid():
        continue
    try:
        look(f"cmdline of {(process / 'comm').read_text().strip()}", (process / "cmdline").read_bytes())
        if process.name != holders.stdout.strip():
            look(f"environ of {(process / 'comm').read_text().strip()}", (process / "environ").read_bytes())
    except OSError:
        pass
print(json.dumps({"hits": hits, "unread": unread}))
"""
)

# Looks at all processes again and again until its input ends; prints each kind that it saw once.
_WATCH = (
    _VALUES
    + r"""
import select
seen = set()
def unit_of(place):
    with open(f"{place}/cgroup") as stream:
        return stream.readline().strip().rpartition("/")[2]
def look(process):
    # Before the rest and after it: the kernel takes a process that ends out of its unit (a zombie is in the root's),
    # and one that has only now been put into its own has not begun its program.
    place = f"/proc/{process}"
    unit, now = None, unit_of(place)
    while unit is None or now not in (unit, ""):
        unit = now
        with open(f"{place}/environ", "rb") as stream:
            environ, owner = stream.read(), os.fstat(stream.fileno()).st_uid
        with open(f"{place}/cmdline", "rb") as stream:
            command = stream.read()
        with open(f"{place}/status") as stream:
            user = next(line for line in stream if line.startswith("Uid:")).split()[2]
        now = unit_of(place)
    words = command.decode(errors="replace").split("\0")[:4]
    found = [f"environ: {name}" for name in found_in(environ)] + [f"cmdline: {name}" for name in found_in(command)]
    seen.add((int(user), owner, unit, " ".join(words).strip(), tuple(found)))
print("looking", flush=True)
while not select.select([sys.stdin], [], [], 0.002)[0]:
    for process in os.listdir("/proc"):
        if process.isdigit() and int(process) != os.getpid():
            try:
                look(process)
            except (OSError, StopIteration):
                pass
import pwd
def called(user):
    try:
        return pwd.getpwuid(user).pw_name
    except KeyError:
        return str(user)
print(json.dumps([[called(user), called(owner), *rest] for user, owner, *rest in sorted(seen)]))
"""
)


@dataclass(frozen=True)
class Process:
    """A kind of process that ran.

    Args:
        user: who it was.
        reader: whose its environment is to read: ``root`` of one that is not dumpable.
        unit: of systemd.
        command: its first words.
        found: what stood where.
    """

    user: str
    reader: str
    unit: str
    command: str
    found: tuple[str, ...]


@dataclass
class Watched:
    """What was seen, once the watch has ended."""

    processes: list[Process] = field(default_factory=list)


def forms_of(value: str) -> list[str]:
    """Return a secret as it might stand somewhere, each form in base64.

    Plain, in JSON, percent-encoded, hex, base64 at each alignment; of a key that is base64 its bytes too.
    """
    plain = value.encode()
    forms = {plain, json.dumps(value)[1:-1].encode(), quote(value).encode(), quote(value, safe="").encode()}
    forms |= {plain.hex().encode(), *_aligned(plain)}
    if len(value) == 44 and value.endswith("="):
        raw = base64.b64decode(value)
        forms |= {raw, raw.hex().encode(), base64.urlsafe_b64encode(raw), value.rstrip("=").encode()}
    return [base64.b64encode(form).decode() for form in sorted(forms)]


def search(guest: Guest, values: Mapping[str, str]) -> list[tuple[str, str]]:
    """Return which value stands where; fail when something could not be read."""
    found = json.loads(guest.run("python3", "-c", _SEARCH, stdin=_asked(values), timeout=600))
    assert found["unread"] == []
    return list(map(tuple, found["hits"]))


@contextlib.contextmanager
def watching(guest: Guest, values: Mapping[str, str]) -> Iterator[Watched]:
    """Look at every process of the guest until the block ends."""
    watched = Watched()
    looker = subprocess.Popen(
        guest.ssh("python3", "-c", _WATCH), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert looker.stdin is not None
    assert looker.stdout is not None
    try:
        looker.stdin.write(_asked(values))
        looker.stdin.flush()
        assert looker.stdout.readline() == "looking\n"
        yield watched
        printed, _unused = looker.communicate(timeout=60)
        watched.processes += [Process(*row[:4], tuple(row[4])) for row in json.loads(printed)]
    finally:
        looker.kill()
        looker.wait(10)


def master_key(guest: Guest) -> str:
    """Return it as the guest's root can."""
    master = guest.shell("sed -n 's/^ARGOS_MASTER_KEY=//p' /etc/argos/argos.env").strip().strip('"')
    assert len(base64.b64decode(master)) == 32
    return master


def demand_only_holders(guest: Guest, watched: Watched) -> None:
    """Fail where a process had a value on its command line, or in an environment that systemd did not give its unit.

    What systemd gives is the master key alone, and nobody but root and argos may read it there.
    """
    units = "/usr/lib/systemd/system/argos*.service /etc/systemd/system/argos*.service"
    given = guest.shell(f"grep -l '^EnvironmentFile=/etc/argos/argos.env' {units} || true")
    holders = {path.rpartition("/")[2] for path in given.split()}
    assert "argos.service" in holders
    for one in watched.processes:
        if one.found:
            assert (one.unit in holders, one.found) == (True, ("environ: master key",)), one
            assert one.reader in {"root", "argos"}, one


def _asked(values: Mapping[str, str]) -> str:
    return json.dumps({name: forms_of(value) for name, value in values.items()}) + "\n"


def _aligned(plain: bytes) -> Iterator[bytes]:
    """What of it is seen in base64 when 0, 1 or 2 bytes stand before it (RFC 4648 §4)."""
    for shift, start in ((0, 0), (1, 2), (2, 3)):
        encoded = base64.b64encode(b"\0" * shift + plain)
        yield encoded[start : (len(plain) + shift) // 3 * 4]
