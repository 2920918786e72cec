"""Caddy's storage, read and written by a child that became its owner, and passed through a pipe.

``/var/lib/argos-caddy`` is open to ``argos-caddy`` alone. The command begins as root, forks
before it becomes ``argos``, and neither root nor ``argos`` ever opens a file there.

In the pipe: for each file a line of JSON ``{"name", "size"}`` and then its bytes; a last
empty line says that the child came to its end.
"""

from __future__ import annotations

import os
import pwd
import shutil
import stat
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

import msgspec

from argos import durable_files
from argos.backup import swapping
from argos.errors import ArgosError

LARGEST = 128 * 1024 * 1024
"""Bytes of all of Caddy's files together: they are held in memory, so that no key touches the disk in the clear."""
MOST_FILES = 40_000
# Locks are of the moment, and known bans come anew from CrowdSec.
_LEFT_OUT = frozenset({"locks", "crowdsec", "last_clean.json"})
_LINE = 4096
_STAGED = b"staged\n"


class StorageTrouble(ArgosError):
    """Caddy's storage cannot be read or written; the message says why."""


class _Named(msgspec.Struct, frozen=True):
    name: str
    size: int


class Child:
    """A forked child that became the owner of a directory and does ``work`` there.

    Args:
        directory: its owner is who the child becomes.
        work: called in the child with what the parent sends and what goes back to it.
    """

    def __init__(self, directory: Path, work: Callable[[BinaryIO, BinaryIO], None]) -> None:
        self._directory = directory
        hearing, telling = os.pipe()
        reading, answering = os.pipe()
        self._pid = os.fork()
        if not self._pid:
            os.close(telling)
            os.close(reading)
            _live(directory, work, hearing, answering)
        os.close(hearing)
        os.close(answering)
        self.tell = os.fdopen(telling, "wb")
        self.answer = os.fdopen(reading, "rb")

    def abandon(self) -> None:
        """Let it end where nobody needs its answer any more; a :func:`stager` then takes away what it staged."""
        for stream in (self.tell, self.answer):
            with suppress(BrokenPipeError):
                stream.close()
        with suppress(ChildProcessError):
            os.waitpid(self._pid, 0)

    def finish(self) -> None:
        """Wait for its end.

        Raises:
            StorageTrouble: it did not do its work; what it said last is the reason.
        """
        with suppress(BrokenPipeError):
            self.tell.close()
        rest = self.answer.read(_LINE)
        self.answer.close()
        _unused, status = os.waitpid(self._pid, 0)
        if status:
            said = rest.decode("utf-8", "replace").strip() or "its helper ended early"
            raise StorageTrouble(f"{self._directory}: {said}")


def _live(directory: Path, work: Callable[[BinaryIO, BinaryIO], None], hearing: int, answering: int) -> None:
    """The child's life; it never returns."""
    status = 1
    answer = os.fdopen(answering, "wb")
    try:
        _become_owner(directory)
        with os.fdopen(hearing, "rb") as heard:
            work(heard, answer)
        status = 0
    except OSError as problem:
        answer.write(f"\n{problem.strerror}: {problem.filename}".encode("utf-8", "replace"))
    except ArgosError as problem:
        answer.write(f"\n{problem}".encode("utf-8", "replace"))
    except BaseException as problem:  # its text may hold a file's bytes
        answer.write(f"\n{type(problem).__name__}".encode())
    finally:
        with suppress(OSError):
            answer.flush()
        os._exit(status)


def _become_owner(directory: Path) -> None:
    """As root, become who owns ``directory``, for good; as anybody else, nothing."""
    owner = directory.stat().st_uid
    if os.geteuid() != 0 or owner == 0:
        return
    account = pwd.getpwuid(owner)
    os.umask(0o077)
    os.initgroups(account.pw_name, account.pw_gid)
    os.setresgid(account.pw_gid, account.pw_gid, account.pw_gid)
    os.setresuid(owner, owner, owner)


def collector(storage: Path) -> Child:
    """Begin to read ``storage``: call it while still root, and :func:`collected` when no more."""

    def work(_heard: BinaryIO, answer: BinaryIO) -> None:
        sent = 0
        for count, (name, path) in enumerate(_walk(storage, "")):
            content = _read(path)
            sent += len(content)
            if sent > LARGEST or count >= MOST_FILES:
                raise StorageTrouble(f"it holds more than {MOST_FILES} files or {LARGEST // 2**20} MiB")
            answer.write(msgspec.json.encode(_Named(name, len(content))) + b"\n" + content)
        answer.write(b"\n")

    return Child(storage, work)


def collected(child: Child) -> dict[str, bytes]:
    """The files of a :func:`collector`, by their names below the storage's directory.

    Raises:
        StorageTrouble: it could not read them all.
    """
    found: dict[str, bytes] = {}
    whole = False
    for named in _names(child.answer):
        if named is None:
            whole = True
            break
        found[named.name] = child.answer.read(named.size)
    child.finish()
    if not whole:
        raise StorageTrouble("Caddy's storage: its helper ended early")
    return found


def _names(stream: BinaryIO) -> Iterator[_Named | None]:
    """Each file's line; None at the end that was meant to be one."""
    while line := stream.readline(_LINE):
        if line == b"\n":
            yield None
            return
        yield msgspec.json.decode(line, type=_Named)


def _walk(directory: Path, above: str) -> Iterator[tuple[str, Path]]:
    with os.scandir(directory) as entries:
        found = sorted(entries, key=lambda entry: entry.name)
    for entry in found:
        name = above + entry.name
        if not above and not belongs(entry.name):
            continue
        if entry.is_dir(follow_symlinks=False):
            yield from _walk(Path(entry.path), name + "/")
        elif entry.is_file(follow_symlinks=False) and not entry.name.startswith("."):
            yield name, Path(entry.path)


def _read(path: Path) -> bytes:
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as stream:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise StorageTrouble(f"{path} is no file")
        return stream.read(LARGEST + 1)


def stager(storage: Path) -> Child:
    """Begin to unpack into ``storage``'s own ``.restore``: call it while still root, then :func:`stage` and finish."""

    def work(heard: BinaryIO, answer: BinaryIO) -> None:
        staging = storage / swapping.STAGING
        shutil.rmtree(staging, ignore_errors=True)
        staging.mkdir(mode=0o700)
        for named in _names(heard):
            if named is None:
                _sync_tree(staging)
                answer.write(_STAGED)
                return
            path = staging / named.name
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            with os.fdopen(descriptor, "wb") as target:
                missing = named.size
                while missing and (piece := heard.read(min(missing, 1 << 20))):
                    target.write(piece)
                    missing -= len(piece)
                if missing:
                    raise StorageTrouble("what was sent is cut off")
                target.flush()
                os.fsync(descriptor)
        shutil.rmtree(staging)
        raise StorageTrouble("the restore was given up")

    return Child(storage, work)


def stage(child: Child, name: str, size: int, content: Iterator[bytes]) -> None:
    """Send one file to a :func:`stager`; its name was checked by the archive's manifest."""
    child.tell.write(msgspec.json.encode(_Named(name, size)) + b"\n")
    for piece in content:
        child.tell.write(piece)


def staged(child: Child) -> None:
    """Say that all files were sent, and wait until they are on the disk; callable from another child too.

    Raises:
        StorageTrouble: they are not.
    """
    with suppress(BrokenPipeError):
        child.tell.write(b"\n")
        child.tell.close()
    said = child.answer.read(_LINE)
    if said != _STAGED:
        raise StorageTrouble(f"Caddy's storage: {said.decode('utf-8', 'replace').strip() or 'its helper ended early'}")


def _sync_tree(directory: Path) -> None:
    for folder, _unused, _unused_too in os.walk(directory):
        durable_files.sync_directory(Path(folder))


def belongs(name: str) -> bool:
    """Whether an entry at the top of the storage goes into a backup, and away when one is restored."""
    return name not in _LEFT_OUT and not name.startswith((".", swapping.KEPT))
