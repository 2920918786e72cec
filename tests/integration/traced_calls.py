"""Run something under ptrace(2), and see or stop it at each call by which it changes files or speaks to Caddy.

The kernel itself says what was called, so nothing hides: SQLite's writes and syncs, a child's, those of a process
that forbids dumps. A seccomp filter stops the process at these calls alone. ``strace --inject`` would do as much for
one process, but counts the calls of each thread for itself, and a command here is several processes; it would also
begin an interpreter for each of hundreds of runs.
"""

from __future__ import annotations

import ctypes
import errno
import os
import re
import signal
import struct
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import call_filter

NAMES = {
    "fsync": "fsync", "fdatasync": "fsync", "ftruncate": "ftruncate", "write": "write", "pwrite64": "write",
    "rename": "rename", "renameat": "rename", "renameat2": "rename", "link": "link", "linkat": "link",
    "unlink": "unlink", "unlinkat": "unlink", "rmdir": "rmdir", "mkdir": "mkdir", "mkdirat": "mkdir",
    "open": "create", "openat": "create", "connect": "connect", "sendto": "send",
    # Nobody here is known to change a file by these; who begins to must not do so unseen.
    "truncate": "truncate", "writev": "writev", "pwritev": "pwritev", "sendfile": "sendfile", "creat": "creat",
    "copy_file_range": "copy_file_range", "fallocate": "fallocate", "symlink": "symlink", "symlinkat": "symlink",
}  # fmt: skip
"""Each system call that is looked at, and what it is called here: what is one thing to a disk has one name."""

_SEIZE, _LISTEN, _CONT, _SYSCALL, _SYSCALL_INFO = 0x4206, 0x4208, 7, 24, 0x420E
# EXITKILL, TRACESYSGOOD, and the events FORK, VFORK, CLONE, EXEC, SECCOMP of ptrace(2).
_OPTIONS = 0x100000 | 0x1 | 0x2 | 0x4 | 0x8 | 0x10 | 0x80
_EVENT_SECCOMP, _EVENT_STOP = 7, 128
_WALL = 0x40000000
_AT_FDCWD, _AT_REMOVEDIR = -100, 0x200
_INFO = struct.Struct("=B3xIQQQ6Q")
_DELETED = " (deleted)"
_STAMP = re.compile(r"\d{8}T\d{6}Z(?:-[0-9a-f]{4,8})?|\b[0-9a-f]{8,}\b")
_SHARED = "-shm"
"""SQLite's index of a log is memory that processes share by a file, made anew from the log: no disk has to keep it."""


@dataclass(frozen=True)
class Call:
    """One call: its name here, the path below what is watched (of a rename the source), and what it did there.

    ``offset`` is where a write began, or the length of an ftruncate; a create leaves an empty file.
    """

    name: str
    path: str
    other: str = ""
    offset: int = 0
    content: bytes = b""

    @property
    def kind(self) -> str:
        """The name and the part that the file plays: neither stamps and digests nor a place deep down make another."""
        parts = _STAMP.sub("#", self.other or self.path).split("/")
        return f"{self.name} {'/'.join(parts if len(parts) < 4 else [*parts[:2], '…'])}"


class Point(NamedTuple):
    """The ``occurrence``-th call of a kind, the first is 1: where to kill."""

    kind: str
    occurrence: int


_libc = ctypes.CDLL(None, use_errno=True)
_libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
_libc.ptrace.restype = ctypes.c_long
_NUMBERS = {
    number: name for name in NAMES if (number := call_filter.number_of(name)) >= 0
}  # of this architecture, which may lack some


def traced(work: Callable[[], int], top: Path, kill_at: Point | None = None) -> tuple[int, list[Call]]:
    """Do ``work`` in a fork, and give its exit code (a signal's is negative) and the calls that it did, in their order.

    The calling process must have neither threads nor other children. The call at which it is
    killed is the last of them, and did nothing.

    Args:
        work: what; its children are watched too.
        top: the directory of which changes count; a unix socket below it counts when it is spoken to.
        kill_at: all of it is killed before this call does anything; None: never.
    """
    hearing, telling = os.pipe()
    child = os.fork()
    if not child:
        code = 70
        try:
            os.setsid()
            os.read(hearing, 1)
            _filter()
            code = work()
        finally:
            os._exit(code)
    _ptrace(_SEIZE, child, 0, _OPTIONS)
    os.write(telling, b"g")
    try:
        return _Tracer(child, os.path.realpath(top), kill_at).followed()
    finally:
        os.close(hearing)
        os.close(telling)


def _filter() -> None:
    """Stop this process, for its tracer, at the calls of :data:`NAMES`."""
    creates = {
        name: call_filter.Condition(flags, call_filter.MASKED_EQUAL, os.O_CREAT, os.O_CREAT)
        for name, flags in {"open": 1, "openat": 2}.items()
    }
    call_filter.load(call_filter.TRACE, ((number, creates.get(name)) for number, name in _NUMBERS.items()))


def _ptrace(request: int, pid: int, address: int = 0, data: int = 0) -> int:
    result = int(_libc.ptrace(request, pid, address, data))
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"ptrace: {os.strerror(number)}")
    return result


@contextmanager
def _though_it_may_die() -> Iterator[None]:
    """A process that is killed between its stop and a question about it is no error."""
    try:
        yield
    except OSError as problem:
        if problem.errno != errno.ESRCH:
            raise


class _Tracer:
    def __init__(self, first: int, top: str, kill_at: Point | None) -> None:
        self._first, self._top, self._kill_at = first, top, kill_at
        self._met: Counter[str] = Counter()
        self._under_way: dict[int, Call] = {}
        self._sockets: set[str] = set()
        self._calls: list[Call] = []

    def followed(self) -> tuple[int, list[Call]]:
        code = 0
        while True:
            try:
                pid, status = os.waitpid(-1, _WALL)
            except ChildProcessError:
                return code, self._calls
            if os.WIFSTOPPED(status):
                with _though_it_may_die():
                    self._stopped(pid, status >> 16, os.WSTOPSIG(status))
            elif pid == self._first:
                code = os.waitstatus_to_exitcode(status)

    def _stopped(self, pid: int, event: int, number: int) -> None:
        if event == _EVENT_SECCOMP:
            _ptrace(_SYSCALL if self._entered(pid) else _CONT, pid)
        elif number == signal.SIGTRAP | 0x80:
            self._left(pid)
            _ptrace(_CONT, pid)
        elif event:
            stops = event == _EVENT_STOP and number != signal.SIGTRAP
            _ptrace(_LISTEN if stops else _CONT, pid)
        else:
            _ptrace(_CONT, pid, 0, number)

    def _entered(self, pid: int) -> bool:
        """Whether the call is one of ours, whose outcome matters."""
        try:
            call = self._call(pid)
        except OSError as problem:
            if problem.errno not in {errno.ENOENT, errno.EIO}:
                raise
            call = None  # of no descriptor, or no address: an error, and no change
        if call is None:
            return False
        self._met[call.kind] += 1
        if self._kill_at == (call.kind, self._met[call.kind]):
            self._calls.append(call)
            os.killpg(self._first, signal.SIGKILL)
            return False
        self._under_way[pid] = call
        return True

    def _left(self, pid: int) -> None:
        call = self._under_way.pop(pid)
        result = self._info(pid)[4]
        if result < 1 << 63:  # else an error
            # On a full disk a write may be shorter than it was meant to be.
            self._calls.append(replace(call, content=call.content[:result]) if call.name == "write" else call)

    def _info(self, pid: int) -> tuple[int, ...]:
        buffer = ctypes.create_string_buffer(128)
        _ptrace(_SYSCALL_INFO, pid, len(buffer), ctypes.addressof(buffer))
        return _INFO.unpack_from(buffer.raw)

    def _call(self, pid: int) -> Call | None:
        number, *arguments = self._info(pid)[4:11]
        system = _NUMBERS[number]
        name = NAMES[system]
        if name in {"connect", "send"}:
            return self._spoken(pid, name, arguments)
        if name in {"rename", "link"}:
            return self._moved(pid, name, system, arguments)
        if name in {"unlink", "rmdir", "mkdir", "create", "truncate", "creat", "symlink"}:
            return self._named(pid, name, system, arguments)
        place = self._inside(_target(pid, arguments[2 if name == "copy_file_range" else 0]))
        if place is None:
            return None
        if name == "write":
            content = _memory(pid, arguments[1], arguments[2])
            offset = arguments[3] if system == "pwrite64" else _position(pid, arguments[0])
            return Call(name, place, offset=offset, content=content)
        return Call(name, place, offset=arguments[1] if name == "ftruncate" else 0)

    def _named(self, pid: int, name: str, system: str, arguments: list[int]) -> Call | None:
        relative = system.endswith("at") and system != "creat"
        at, rest = (arguments[0], arguments[1:]) if relative else (_AT_FDCWD, arguments)
        if name == "symlink":  # what it leads to comes first
            at, rest = (arguments[1], arguments[2:]) if relative else (_AT_FDCWD, arguments[1:])
        if name == "unlink" and relative and rest[1] & _AT_REMOVEDIR:
            name = "rmdir"
        call = self._at(pid, name, at, rest[0])
        if call is None or name != "create":
            return call
        there = os.path.lexists(f"{self._top}/{call.path}")
        if there and not rest[1] & os.O_TRUNC:
            return None
        return call

    def _at(self, pid: int, name: str, at: int, address: int) -> Call | None:
        place = self._inside(_path(pid, at, address))
        return None if place is None else Call(name, place)

    def _moved(self, pid: int, name: str, system: str, arguments: list[int]) -> Call | None:
        if "at" in system:
            old, new = _path(pid, arguments[0], arguments[1]), _path(pid, arguments[2], arguments[3])
        else:
            old, new = _path(pid, _AT_FDCWD, arguments[0]), _path(pid, _AT_FDCWD, arguments[1])
        source, target = self._inside(old), self._inside(new)
        if source is None and target is None:
            return None
        if source is None or target is None:
            raise AssertionError(f"a {name} over the edge of what is watched: {old}, {new}")
        return Call(name, source, target)

    def _spoken(self, pid: int, name: str, arguments: list[int]) -> Call | None:
        socket = _target(pid, arguments[0])
        if name == "connect":
            address = _memory(pid, arguments[1], arguments[2])
            place = self._inside(os.fsdecode(address[2:].partition(b"\0")[0]))
            if address[:2] != struct.pack("=H", 1) or place is None:  # AF_UNIX
                return None
            self._sockets.add(socket)
            return Call(name, place)
        return Call(name, "socket") if socket in self._sockets else None

    def _inside(self, path: str) -> str | None:
        """``path`` below the top; None for what lies elsewhere, or has no name any more."""
        if path == self._top:
            return "."
        if not path.startswith(self._top + "/") or path.endswith((_DELETED, _SHARED)):
            return None
        return path[len(self._top) + 1 :]


def _target(pid: int, descriptor: int) -> str:
    return str(Path(f"/proc/{pid}/fd/{ctypes.c_int(descriptor).value}").readlink())


def _position(pid: int, descriptor: int) -> int:
    facts = Path(f"/proc/{pid}/fdinfo/{descriptor}").read_text(encoding="ascii").split()
    if int(facts[facts.index("flags:") + 1], 8) & os.O_APPEND:
        return Path(f"/proc/{pid}/fd/{descriptor}").stat().st_size
    return int(facts[facts.index("pos:") + 1])


def _memory(pid: int, address: int, length: int) -> bytes:
    with Path(f"/proc/{pid}/mem").open("rb", buffering=0) as memory:
        found = os.pread(memory.fileno(), length, address)
    if length and not found:
        raise ProcessLookupError(errno.ESRCH, "it was killed, and has no memory any more")
    return found


def _path(pid: int, at: int, address: int) -> str:
    text = bytearray()
    while b"\0" not in text:
        # To the end of the page: the next one may not be there.
        text += _memory(pid, address + len(text), 4096 - (address + len(text)) % 4096)
    name = os.fsdecode(bytes(text).partition(b"\0")[0])
    if not name.startswith("/"):
        here = ctypes.c_int(at).value == _AT_FDCWD
        name = f"{Path(f'/proc/{pid}/cwd').readlink() if here else _target(pid, at)}/{name}"
    return os.path.normpath(name)
