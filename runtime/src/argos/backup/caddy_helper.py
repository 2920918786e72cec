"""The helper that is at work on Caddy's storage as its owner.

``python -I -m argos.backup.caddy_helper WORK DIRECTORY`` is started by :mod:`argos.backup.caddy_storage`, hears on
standard input and answers on standard output. It is given no settings and no key, and imports little, as a backup
waits for its start.
"""

from __future__ import annotations

import os
import pwd
import shutil
import stat
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, NoReturn

import msgspec

from argos import durable_files
from argos.backup import swapping
from argos.backup.caddy_storage import (
    DONE,
    END,
    LARGEST,
    MOST_FILES,
    ORDER_LIMIT,
    Named,
    Order,
    StorageTrouble,
    belongs,
    names,
)
from argos.errors import ArgosError
from argos.hardening import forbid_dumps


def main(arguments: Sequence[str]) -> NoReturn:
    """Become the owner of the directory, do the work, and end with 0, or with 1 after saying why not."""
    work, directory = _WORKS[arguments[0]], Path(arguments[1])
    answer = sys.stdout.buffer
    problem = ""
    try:
        _become_owner(directory)
        forbid_dumps()
        work(directory, sys.stdin.buffer, answer)
    except OSError as error:
        problem = f"{error.strerror}: {error.filename}"
    except ArgosError as error:
        problem = str(error)
    except BaseException as error:  # its text may hold a file's bytes
        problem = type(error).__name__
    with suppress(OSError):
        answer.write(f"\n{problem}".encode("utf-8", "replace") if problem else b"")
        answer.flush()
    # Not a return: where nobody reads any more, the interpreter would complain at its end.
    os._exit(1 if problem else 0)


def _become_owner(directory: Path) -> None:
    """As root, become who owns ``directory``, for good; as anybody else, nothing."""
    os.umask(0o077)
    owner = directory.stat().st_uid
    if os.geteuid() != 0 or owner == 0:
        return
    account = pwd.getpwuid(owner)
    os.initgroups(account.pw_name, account.pw_gid)
    os.setresgid(account.pw_gid, account.pw_gid, account.pw_gid)
    os.setresuid(owner, owner, owner)


def _collect(storage: Path, _heard: IO[bytes], answer: IO[bytes]) -> None:
    sent = 0
    for count, (name, path) in enumerate(_walk(storage, "")):
        content = _read(path)
        sent += len(content)
        if sent > LARGEST or count >= MOST_FILES:
            raise StorageTrouble(f"it holds more than {MOST_FILES} files or {LARGEST // 2**20} MiB")
        answer.write(msgspec.json.encode(Named(name, len(content))) + b"\n" + content)
    answer.write(END)


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


def _stage(storage: Path, heard: IO[bytes], answer: IO[bytes]) -> None:
    staging = storage / swapping.STAGING
    shutil.rmtree(staging, ignore_errors=True)
    staging.mkdir(mode=0o700)
    try:
        _take_all(staging, heard)
        _sync_tree(staging)
        durable_files.sync_directory(storage)
    except BaseException:
        shutil.rmtree(staging, ignore_errors=True)
        raise
    answer.write(DONE)


def _take_all(staging: Path, heard: IO[bytes]) -> None:
    for named in names(heard):
        if named is None:
            return
        _refuse_elsewhere(*named.name.split("/"))
        _take(staging / named.name, named.size, heard)
    raise StorageTrouble("the restore was given up")


def _take(path: Path, size: int, heard: IO[bytes]) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as target:
        missing = size
        while missing and (piece := heard.read(min(missing, 1 << 20))):
            target.write(piece)
            missing -= len(piece)
        if missing:
            raise StorageTrouble("what was sent is cut off")
        target.flush()
        os.fsync(descriptor)


def _sync_tree(directory: Path) -> None:
    for folder, _unused, _unused_too in os.walk(directory):
        durable_files.sync_directory(Path(folder))


def _swap(storage: Path, heard: IO[bytes], answer: IO[bytes]) -> None:
    try:
        order = msgspec.json.decode(heard.read(ORDER_LIMIT), type=Order)
    except msgspec.DecodeError:
        raise StorageTrouble("the restore was given up") from None
    _refuse_elsewhere(order.stamp, *order.staged)
    swapping.swap(storage, storage / f"{swapping.KEPT}{order.stamp}", belongs, order.staged)
    swapping.drop_old(storage)
    answer.write(DONE)


def _refuse_elsewhere(*parts: str) -> None:
    """APPSEC: who has taken ``argos`` over must not write by this helper where only ``argos-caddy`` may."""
    if any(part in {"", ".", ".."} or "/" in part or "\0" in part for part in parts):
        raise StorageTrouble("a name leads elsewhere")


def _clear(storage: Path, _heard: IO[bytes], answer: IO[bytes]) -> None:
    if swapping.clear(storage):
        answer.write(DONE)


_WORKS: dict[str, Callable[[Path, IO[bytes], IO[bytes]], None]] = {
    "collect": _collect,
    "stage": _stage,
    "swap": _swap,
    "clear": _clear,
}

if __name__ == "__main__":
    main(sys.argv[1:])
