"""Archives that somebody made or spoilt: the command refuses each before it touches anything, in bounded space."""

from __future__ import annotations

import hashlib
import json
import re
import struct
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest
from argos.backup import archive
from argos.backup.archive import CHUNK, Entry, Header, Manifest
from crash_points import peak_of
from dying_guest import KEY, NEXT_KEY
from guest_rig import Guest

MB = 2**20
MOST_MORE = 48
"""MiB of memory that a hostile archive may cost beyond a file that is no archive."""
LARGEST_FILE = 16 * MB
"""Bytes: whoever writes more to one file is told that it cannot (setrlimit(2))."""
BOMB = 256
"""MiB that the bombs unpack to."""
SHA = hashlib.sha256(b"x").hexdigest()
FILE = Entry("argos.db", 1, SHA)


class Forger:
    """Makes archives under the guest's own key: what only somebody who has it could."""

    def __init__(self, guest: Guest) -> None:
        with guest.services() as here:
            self.header, self._key = here.backups._header(1_800_000_000)
        self.good = guest.backup().read_bytes()

    def sealed(self, packed: bytes, **changes: Any) -> bytes:
        """An archive with ``packed`` inside; ``changes`` are of its header."""
        fields = {name: getattr(self.header, name) for name in self.header.__struct_fields__} | changes
        first = archive.MAGIC + json.dumps(fields).encode() + b"\n"
        sealer = archive._Chunks(Header(**fields), self._key, first)
        pieces = [packed[start : start + CHUNK] for start in range(0, len(packed), CHUNK)] or [b""]
        return first + b"".join(sealer.seal(piece, last=piece is pieces[-1]) for piece in pieces)

    def naming(self, *entries: Entry | Mapping[str, Any], content: bytes = b"x", behind: bytes = b"") -> bytes:
        """An archive whose manifest says ``entries``."""
        listing = msgspec.json.encode({"files": entries})
        return self.sealed(zlib.compress(struct.pack(">I", len(listing)) + listing + content) + behind)

    def bomb(self, *entries: Entry) -> bytes:
        """What unpacks to 256 MiB of zeros behind a manifest of ``entries``."""
        listing = msgspec.json.encode(Manifest(entries))
        packer = zlib.compressobj(9)
        packed = packer.compress(struct.pack(">I", len(listing)) + listing)
        packed += b"".join(packer.compress(bytes(MB)) for _unused in range(BOMB)) + packer.flush()
        return self.sealed(packed)

    def flipped(self, place: int) -> bytes:
        """The good one with one bit turned."""
        raw = bytearray(self.good)
        raw[place] ^= 4
        return bytes(raw)

    def chunks(self, change: Callable[[list[bytes]], list[bytes]]) -> bytes:
        """The good one with its chunks put otherwise."""
        first = self.good.index(b"\n", len(archive.MAGIC)) + 1
        rest, parts = self.good[first:], []
        while rest:
            size = 4 + int.from_bytes(rest[:4], "big")
            parts.append(rest[:size])
            rest = rest[size:]
        return self.good[:first] + b"".join(change(parts))


def named(name: str) -> tuple[Entry, Entry]:
    return FILE, Entry(name, 0, hashlib.sha256(b"").hexdigest())


NAMES = {
    "a name that climbs out": ("../etc/passwd", "neither the database"),
    "a name that climbs out below caddy": ("caddy/../../etc/passwd", "holds a part"),
    "an absolute name": ("/etc/passwd", "neither the database"),
    "an absolute name below caddy": ("caddy//etc/passwd", "holds a part"),
    "a name with a zero byte": ("caddy/a\0b", "holds a part"),
    "a name with a line end": ("caddy/a\nb", "holds a part"),
    "a name with a backslash": ("caddy/..\\argos.db", "holds a part"),
    "a name of our own staging": ("caddy/.restore/a", "holds a part"),
    "a name that is an option": ("caddy/-rf", "holds a part"),
    "a name that turns the text around": ("caddy/\u202etxt.key", "holds a part"),
    "a name too deep": ("caddy/" + "a/" * 40 + "b", "too deep"),
    "a name too long": ("caddy/" + "a" * 300, "holds a part"),
    "SQLite's log in place of a file": ("argos.db-wal", "neither the database"),
}
MADE: dict[str, tuple[Callable[[Forger], bytes], str]] = {
    **{
        kind: (lambda forger, name=name: forger.naming(*named(name)), reason)  # type: ignore[misc]
        for kind, (name, reason) in NAMES.items()
    },
    "a link": (
        lambda f: f.naming(FILE, {"name": "caddy/a", "size": 0, "sha256": SHA, "link": "/etc/shadow"}),
        "not readable",
    ),
    "a device": (
        lambda f: f.naming(FILE, {"name": "caddy/a", "size": 0, "sha256": SHA, "type": "block"}),
        "not readable",
    ),
    "a mode": (lambda f: f.naming(FILE, {"name": "caddy/a", "size": 0, "sha256": SHA, "mode": 0o4755}), "not readable"),
    "a name twice": (lambda f: f.naming(FILE, *2 * (Entry("caddy/a", 0, SHA),)), "in it twice"),
    "a name twice but for case": (
        lambda f: f.naming(FILE, Entry("caddy/a", 0, SHA), Entry("caddy/A", 0, SHA)),
        "in it twice",
    ),
    "a file in a file": (
        lambda f: f.naming(FILE, Entry("caddy/a", 0, SHA), Entry("caddy/a/b", 0, SHA)),
        "lies in another",
    ),
    "two databases": (lambda f: f.naming(FILE, FILE), "in it twice"),
    "no database": (lambda f: f.naming(Entry("caddy/a", 1, SHA)), "does not come first"),
    "nothing at all": (lambda f: f.naming(), "does not come first"),
    "a size below nothing": (lambda f: f.naming(Entry("argos.db", -1, SHA)), "no proper size"),
    "a size beyond all disks": (lambda f: f.naming(Entry("argos.db", 2**50, SHA)), "64 GiB"),
    "too many files": (
        lambda f: f.naming(FILE, *(Entry(f"caddy/{n}", 0, SHA) for n in range(60_000))),
        "at most 50000",
    ),
    "another digest": (lambda f: f.naming(Entry("argos.db", 1, "0" * 64)), "not what the manifest names"),
    "less than it says": (lambda f: f.naming(Entry("argos.db", 2, SHA)), "ends before"),
    "more than it says": (lambda f: f.naming(FILE, content=b"xy"), "holds more"),
    "a bomb behind the last file": (
        lambda f: f.bomb(Entry("argos.db", 1, hashlib.sha256(b"\0").hexdigest())),
        "holds more",
    ),
    "a bomb as the database": (lambda f: f.bomb(Entry("argos.db", BOMB * MB, SHA)), "not what the manifest names"),
    "a bomb of a manifest": (
        lambda f: f.sealed(zlib.compress(b"\xff\xff\xff\xff" + bytes(16 * MB))),
        "manifest is too long",
    ),
    "a manifest nested without end": (
        lambda f: f.sealed(zlib.compress(struct.pack(">I", MB) + b"[" * MB)),
        "not readable",
    ),
    "something behind the packed": (lambda f: f.naming(FILE, behind=b"more"), "follows its packed content"),
    "no database inside": (lambda f: f.naming(FILE), "of schema None"),
    "packed content that is none": (lambda f: f.sealed(b"PK\3\4" * 100), "packed content is broken"),
    "one bit of the header": (lambda f: f.flipped(len(archive.MAGIC) + 20), "."),
    "one bit of a length": (lambda f: f.flipped(f.good.index(b"\n", 20) + 1), "impossible length|cut off"),
    "one bit in the middle": (lambda f: f.flipped(len(f.good) // 2), "altered"),
    "the last bit": (lambda f: f.flipped(-1), "altered"),
    "cut off in the middle": (lambda f: f.good[: len(f.good) // 2], "cut off"),
    "cut off by one byte": (lambda f: f.good[:-1], "cut off"),
    "cut off after the header": (lambda f: f.good[: f.good.index(b"\n", 20) + 1], "ends after its header"),
    "a chunk twice": (lambda f: f.chunks(lambda parts: [parts[0], *parts]), "altered"),
    "a chunk behind the last": (lambda f: f.chunks(lambda parts: [*parts, parts[-1]]), "altered"),
    "a chunk of 4 GiB": (lambda f: f.chunks(lambda parts: [b"\xff\xff\xff\xff", *parts]), "impossible length"),
    "a header without an end": (lambda f: archive.MAGIC + b"x" * (2 * MB), "cut off or too long"),
    "a header that is none": (lambda f: archive.MAGIC + b"[" * 200_000 + b"\n", "not readable"),
    "a newer schema": (lambda f: f.sealed(zlib.compress(b""), schema="9999"), "restore it with version"),
    "a version of the format to come": (lambda f: b"argos backup 2\n" + f.good[15:], "does not begin"),
}


@pytest.fixture(scope="module")
def guest(tmp_path_factory: pytest.TempPathFactory) -> Guest:
    made = Guest(tmp_path_factory.mktemp("hostile") / "guest", KEY)
    with made.services():
        pass
    return made


@pytest.fixture(scope="module")
def forger(guest: Guest) -> Forger:
    return Forger(guest)


@pytest.fixture(scope="module")
def usual(guest: Guest) -> float:
    """What the command holds in memory when there is nothing to read, in MiB."""
    code, said, peak = restore(guest, b"no archive")
    assert (code, "does not begin" in said) == (1, True), said
    return peak


def restore(guest: Guest, raw: bytes) -> tuple[int, str, float]:
    """Its exit code, what it said, and the most MiB that a process of it held."""
    path = guest.top.with_name("hostile.backup")
    path.write_bytes(raw)
    output = guest.top.with_name("output")
    command = ("restore", "--without-services", "--force", str(path))
    code, peak = peak_of(guest.environment, output, command, LARGEST_FILE)
    return code, output.read_text(), peak


def tree(guest: Guest) -> dict[str, bytes]:
    """Every file of the guest, but for SQLite's companions and what is locked."""
    skipped = ("-wal", "-shm", ".lock")
    return {str(p): p.read_bytes() for p in guest.top.rglob("*") if p.is_file() and not p.name.endswith(skipped)}


def test_there_are_at_least_25_kinds() -> None:
    assert len(MADE) >= 45


@pytest.mark.threat("DAT-2")
@pytest.mark.threat("DAT-6")
@pytest.mark.parametrize("kind", MADE)
def test_it_is_refused_with_its_reason_before_anything_is_touched(
    guest: Guest, forger: Forger, usual: float, kind: str
) -> None:
    make, reason = MADE[kind]
    before = tree(guest)
    code, said, peak = restore(guest, make(forger))
    assert code == 1, said
    assert said.startswith("argos: "), said
    assert len(said.splitlines()) == 1
    assert re.search(reason, said), said
    assert tree(guest) == before
    assert peak - usual < MOST_MORE, f"{peak:.0f} MiB, and {usual:.0f} without an archive"


def test_one_of_another_key_is_refused(guest: Guest, tmp_path: Path, usual: float) -> None:
    other = Guest(tmp_path / "other", NEXT_KEY)
    with other.services():
        pass
    code, said, peak = restore(guest, other.backup().read_bytes())
    assert code == 1, said
    assert "key" in said
    assert peak - usual < MOST_MORE


def test_the_good_one_is_taken(guest: Guest, forger: Forger) -> None:
    code, said, _peak = restore(guest, forger.good)
    assert code == 0, said
