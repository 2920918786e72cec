"""What a disk holds when the power went at a moment of a traced run: what was synced, and little else.

A killed process leaves its writes to the kernel, so that a missing fsync(2) shows only when the machine itself
dies. Here a tree of files follows a run's calls, and remembers beside each file and directory what of it was
synced last. Of what was not, either nothing is there (:data:`SYNCED`, the least that POSIX promises: a name counts
once its directory was synced, a file moved between two is in the old one until that was), or all names and
truncations and no data (:data:`NAMES_AHEAD`, as file systems do that write their metadata first).
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

from traced_calls import Call

SYNCED, NAMES_AHEAD = "synced", "names ahead"
_CHANGES = {SYNCED: {"fsync"}, NAMES_AHEAD: {"fsync", "create", "rename", "link", "unlink", "rmdir", "ftruncate"}}
"""After which calls the disk holds something else than before."""


class _File:
    def __init__(self, content: bytes, mode: int) -> None:
        self.content = bytearray(content)
        self.synced = self.ahead = content
        self.mode = mode

    def sync(self) -> None:
        self.synced = self.ahead = bytes(self.content)

    def truncate(self, length: int) -> None:
        del self.content[length:]
        self.content.extend(bytes(length - len(self.content)))
        self.ahead = self.ahead[:length].ljust(length, b"\0")

    def write(self, offset: int, content: bytes) -> None:
        self.content.extend(bytes(max(0, offset - len(self.content))))
        self.content[offset : offset + len(content)] = content


class _Directory:
    def __init__(self, mode: int = 0o750) -> None:
        self.entries: dict[str, _File | _Directory] = {}
        self.synced: dict[str, _File | _Directory] = {}
        self.mode = mode

    def sync(self) -> None:
        self.synced = dict(self.entries)


class Disk:
    """A tree of files that begins as ``top`` is, all of it synced."""

    def __init__(self, top: Path) -> None:
        self._root = _read(top)

    def take(self, call: Call) -> None:
        """Follow one call of a traced run."""
        if call.name in {"connect", "send"}:
            return
        if call.name in {"fsync", "write", "ftruncate"}:
            found = self._find(call.path)
            if call.name == "fsync":
                found.sync()
                return
            assert isinstance(found, _File), call.path
            if call.name == "write":
                found.write(call.offset, call.content)
            else:
                found.truncate(call.offset)
            return
        directory, name = self._beside(call.path)
        if call.name == "create":
            there = directory.entries.setdefault(name, _File(b"", 0o640))
            assert isinstance(there, _File), call.path
            there.truncate(0)
        elif call.name == "mkdir":
            directory.entries[name] = _Directory()
        elif call.name in {"unlink", "rmdir"}:
            del directory.entries[name]
        elif call.name in {"rename", "link"}:
            target, new = self._beside(call.other)
            target.entries[new] = directory.entries[name]
            if call.name == "rename":
                del directory.entries[name]
        else:
            raise AssertionError(f"nobody knows what {call.name} does to a disk")

    def lay_out(self, top: Path, order: str) -> None:
        """Make ``top``, an empty directory, what is left without power."""
        _write(self._root, top, ahead=order == NAMES_AHEAD)

    def _find(self, path: str) -> _File | _Directory:
        found: _File | _Directory = self._root
        for part in PurePosixPath(path).parts:
            assert isinstance(found, _Directory), path
            found = found.entries[part]
        return found

    def _beside(self, path: str) -> tuple[_Directory, str]:
        whole = PurePosixPath(path)
        directory = self._find(str(whole.parent))
        assert isinstance(directory, _Directory), path
        return directory, whole.name


def cuts(before: Path, calls: Sequence[Call], order: str, most: int) -> Iterator[tuple[int, Disk]]:
    """A disk as each of at most ``most`` cuts leaves it, and how many of the calls were done by then.

    The first is before any call and the last after all of them; those between are spread evenly.
    """
    moments = [0, *(number for number, call in enumerate(calls, 1) if call.name in _CHANGES[order])]
    moments = sorted({moments[number * (len(moments) - 1) // (most - 1)] for number in range(most)} | {len(calls)})
    disk, done = Disk(before), 0
    for moment in moments:
        for call in calls[done:moment]:
            disk.take(call)
        done = moment
        yield moment, disk


def lose_power(disk: Disk, top: Path, order: str) -> None:
    """Make ``top`` what ``disk`` holds."""
    for path in top.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
    disk.lay_out(top, order)


def _read(directory: Path) -> _Directory:
    made = _Directory(directory.stat().st_mode & 0o7777)
    for path in directory.iterdir():
        mode = path.lstat().st_mode & 0o7777
        made.entries[path.name] = _read(path) if path.is_dir() else _File(path.read_bytes(), mode)
    made.sync()
    return made


def _write(directory: _Directory, place: Path, *, ahead: bool) -> None:
    place.chmod(directory.mode)
    for name, entry in (directory.entries if ahead else directory.synced).items():
        path = place / name
        if isinstance(entry, _Directory):
            path.mkdir()
            _write(entry, path, ahead=ahead)
        else:
            path.write_bytes(entry.ahead if ahead else entry.synced)
            path.chmod(entry.mode)
