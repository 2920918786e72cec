"""Caddy's storage, read and written by a helper that is its owner, and passed through a pipe.

``/var/lib/argos-caddy`` is open to ``argos-caddy`` alone. The command begins as root and starts
the helper (:mod:`argos.backup.caddy_helper`) before it becomes ``argos``; neither root nor ``argos``
ever opens a file there. The helper is another program run anew, not a fork: a process of ``argos-caddy``
must have the master key neither in its environment nor in its memory (SEC-3).

In the pipe: for each file a line of JSON ``{"name", "size"}`` and then its bytes; a last
empty line says that the sender came to its end.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO

import msgspec

from argos.backup import swapping
from argos.errors import ArgosError
from argos.hardening import CHILD_ENVIRONMENT

LARGEST = 128 * 1024 * 1024
"""Bytes of all of Caddy's files together: they are held in memory, so that no key touches the disk in the clear."""
MOST_FILES = 40_000
HELPER = [sys.executable, "-I", "-m", "argos.backup.caddy_helper"]
"""What starts it; -I, or a package in this directory would run as root."""
DONE = b"done\n"
END = b"\n"
LINE = 4096
ORDER_LIMIT = 16 * 1024 * 1024
"""Bytes of an order to change places: the names at the top of a storage of :data:`MOST_FILES` files."""
# Locks are of the moment, and known bans come anew from CrowdSec.
_LEFT_OUT = frozenset({"locks", "crowdsec", "last_clean.json"})


class StorageTrouble(ArgosError):
    """Caddy's storage cannot be read or written; the message says why."""


class Named(msgspec.Struct, frozen=True):
    """A file that follows."""

    name: str
    size: int


class Order(msgspec.Struct, frozen=True):
    """What a restore puts in its place: ``stamp`` and ``staged`` as in its journal."""

    stamp: str
    staged: tuple[str, ...]


class Child:
    """A helper at work on a directory, as its owner: start it while still root.

    Args:
        directory: Caddy's storage; its owner is who the helper becomes.
        work: one of ``collect``, ``stage``, ``swap`` and ``clear``.
    """

    def __init__(self, directory: Path, work: str) -> None:
        self._directory = directory
        self._process = subprocess.Popen(
            [*HELPER, work, str(directory)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=CHILD_ENVIRONMENT,
            cwd="/",
        )
        self.tell: IO[bytes] = self._process.stdin  # type: ignore[assignment]  # PIPE: it is there
        self.answer: IO[bytes] = self._process.stdout  # type: ignore[assignment]

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def abandon(self) -> None:
        """Let it end where nobody needs its answer any more; a :func:`stager` then takes away what it staged."""
        for stream in (self.tell, self.answer):
            with suppress(BrokenPipeError):
                stream.close()
        self._process.wait()

    def finish(self) -> bytes:
        """Wait for its end, and return the last that it said.

        Raises:
            StorageTrouble: it did not do its work; what it said last is the reason.
        """
        with suppress(BrokenPipeError):
            self.tell.close()
        rest = self.answer.read(LINE)
        self.answer.close()
        if self._process.wait():
            raise self._trouble(rest)
        return rest

    def send(self, piece: bytes) -> None:
        """Send a piece; callable from a fork too, as :meth:`send_end`.

        Raises:
            StorageTrouble: the helper has ended.
        """
        try:
            self.tell.write(piece)
        except BrokenPipeError:
            raise self._trouble(self.answer.read(LINE)) from None

    def send_end(self, last: bytes) -> None:
        """Say ``last``, and wait until the helper says that its work is on the disk; callable from a fork too.

        Raises:
            StorageTrouble: it is not.
        """
        with suppress(BrokenPipeError):
            self.tell.write(last)
            self.tell.close()
        said = self.answer.read(LINE)
        if said != DONE:
            raise self._trouble(said)

    def _trouble(self, said: bytes) -> StorageTrouble:
        reason = said.decode("utf-8", "replace").strip() or "its helper ended early"
        return StorageTrouble(f"{self._directory}: {reason}")


def collector(storage: Path) -> Child:
    """Begin to read ``storage``: call it while still root, and :func:`collected` when no more."""
    return Child(storage, "collect")


def collected(child: Child) -> dict[str, bytes]:
    """The files of a :func:`collector`, by their names below the storage's directory.

    Raises:
        StorageTrouble: it could not read them all.
    """
    found: dict[str, bytes] = {}
    whole = False
    for named in names(child.answer):
        if named is None:
            whole = True
            break
        found[named.name] = child.answer.read(named.size)
    child.finish()
    if not whole:
        raise StorageTrouble("Caddy's storage: its helper ended early")
    return found


def names(stream: IO[bytes]) -> Iterator[Named | None]:
    """Each file's line; None at the end that was meant to be one."""
    while line := stream.readline(LINE):
        if line == END:
            yield None
            return
        yield msgspec.json.decode(line, type=Named)


def stager(storage: Path) -> Child:
    """Begin to unpack into ``storage``'s own ``.restore``: call it while still root, then :func:`stage` each file."""
    return Child(storage, "stage")


def stage(child: Child, name: str, size: int, content: Iterator[bytes]) -> None:
    """Send one file to a :func:`stager`; its name was checked by the archive's manifest.

    Raises:
        StorageTrouble: it cannot write it.
    """
    child.send(msgspec.json.encode(Named(name, size)) + b"\n")
    for piece in content:
        child.send(piece)


def staged(child: Child) -> None:
    """Say that all files were sent, and wait until they are on the disk.

    Raises:
        StorageTrouble: they are not.
    """
    child.send_end(END)


def swapper(storage: Path) -> Child:
    """Make ready to put what is staged in its place: call it while still root, then :func:`swap`."""
    return Child(storage, "swap")


def swap(child: Child, stamp: str, top: Iterable[str]) -> None:
    """Let a :func:`swapper` put in their places the staged entries ``top``, and keep the old ones under ``stamp``.

    Raises:
        StorageTrouble: it did not end it; it can be done again.
    """
    child.send_end(msgspec.json.encode(Order(stamp, tuple(top))))


def clear(storage: Path) -> bool:
    """As root, remove what a restore staged that never began; whether there was something.

    Raises:
        StorageTrouble: it cannot be removed.
    """
    return Child(storage, "clear").finish() == DONE


def belongs(name: str) -> bool:
    """Whether an entry at the top of the storage goes into a backup, and away when one is restored."""
    return name not in _LEFT_OUT and not name.startswith((".", swapping.KEPT))
