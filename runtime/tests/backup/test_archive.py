"""The archive: what was written reads back, whatever was done to it is refused with a reason (DAT-2, DAT-6)."""

from __future__ import annotations

import hashlib
import io
import json
import random
import struct
import zlib
from collections.abc import Callable, Iterable

import pytest
from argos.backup import archive
from argos.backup.archive import BadArchive, Entry, Header, Manifest

KEY = bytes(range(32))


def header(**changes: object) -> Header:
    given: dict[str, object] = {
        "created_at": 1_800_000_000,
        "schema": "0002",
        "version": "0.1.0",
        "master_key_id": "0011223344556677",
        "key_version": 1,
        "wrapped_key": b"wrapped",
    }
    return archive.new_header(**{**given, **changes})  # type: ignore[arg-type]


def entry(name: str, content: bytes) -> Entry:
    return Entry(name, len(content), hashlib.sha256(content).hexdigest())


def made(files: dict[str, bytes], *, manifest: Manifest | None = None, key: bytes = KEY) -> bytes:
    """An archive of ``files``; with ``manifest`` one that lies, as only a holder of the key can make it."""
    target = io.BytesIO()
    named = manifest or Manifest(tuple(entry(name, content) for name, content in files.items()))
    archive.write(target, header(), key, named, files.values())
    return target.getvalue()


def read(raw: bytes, key: bytes = KEY) -> dict[str, bytes]:
    source = io.BytesIO(raw)
    found, first = archive.read_header(source)
    return {one.name: b"".join(content) for one, content in archive.Reader(source, found, first, key).files()}


def test_what_was_written_reads_back_whatever_its_size() -> None:
    noise = random.Random(1).randbytes(3 * archive.CHUNK + 17)
    files = {"argos.db": b"x" * 2_000_000, "caddy/acme/a@b/key": noise, "caddy/empty": b""}
    assert read(made(files)) == files


def test_two_archives_of_the_same_files_share_no_ciphertext() -> None:
    first, second = (made({"argos.db": b"same"}).split(b"\n", 2)[2] for _unused in range(2))
    assert first != second


def test_the_plain_text_is_not_in_it() -> None:
    raw = made({"argos.db": b"sqlite", "caddy/pki/root.key": b"-----BEGIN PRIVATE KEY-----"})
    assert b"PRIVATE" not in raw
    assert b"root.key" not in raw


@pytest.mark.threat("DAT-6")
def test_one_flipped_bit_anywhere_is_refused() -> None:
    raw = made({"argos.db": random.Random(2).randbytes(3000), "caddy/a": b"abc"})
    for place in range(len(raw)):
        flipped = bytearray(raw)
        flipped[place] ^= 1 << (place % 8)
        with pytest.raises(BadArchive):
            read(bytes(flipped))


@pytest.mark.threat("DAT-6")
def test_an_archive_cut_off_anywhere_is_refused() -> None:
    raw = made({"argos.db": b"content" * 300})
    for length in range(len(raw)):
        with pytest.raises(BadArchive):
            read(raw[:length])


def chunks(raw: bytes) -> tuple[bytes, list[bytes]]:
    _magic, _line, rest = raw.split(b"\n", 2)
    found = []
    while rest:
        (size,) = struct.unpack(">I", rest[:4])
        found.append(rest[: 4 + size])
        rest = rest[4 + size :]
    return raw[: raw.index(found[0])], found


def several() -> bytes:
    return made({"argos.db": random.Random(3).randbytes(4 * archive.CHUNK)})


@pytest.mark.threat("DAT-6")
@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda parts: [parts[1], parts[0], *parts[2:]], id="two chunks changed places"),
        pytest.param(lambda parts: [parts[0], *parts[2:]], id="a chunk is missing"),
        pytest.param(lambda parts: parts[:-1], id="the last chunk is missing"),
        pytest.param(lambda parts: [parts[0], parts[0], *parts[1:]], id="a chunk comes twice"),
        pytest.param(lambda parts: [*parts, parts[-1]], id="the last chunk comes twice"),
        pytest.param(lambda parts: [*parts, b"\0\0\0\x20" + bytes(32)], id="a chunk of zeros behind the last"),
        pytest.param(lambda parts: [*parts, b"x"], id="a byte behind the last"),
        pytest.param(lambda parts: [*parts, chunks(several())[1][-1]], id="a last chunk of another archive"),
        pytest.param(lambda parts: [b"\xff\xff\xff\xff", *parts], id="a chunk that claims 4 GiB"),
        pytest.param(lambda parts: [b"\0\0\0\1x", *parts], id="a chunk shorter than its tag"),
    ],
)
def test_chunks_put_elsewhere_are_refused(change: Callable[[list[bytes]], Iterable[bytes]]) -> None:
    front, parts = chunks(several())
    with pytest.raises(BadArchive):
        read(front + b"".join(change(parts)))


@pytest.mark.threat("DAT-6")
def test_a_header_of_another_archive_is_refused() -> None:
    _front, parts = chunks(made({"argos.db": b"mine"}))
    other, _parts = chunks(made({"argos.db": b"other"}))
    with pytest.raises(BadArchive):
        read(other + b"".join(parts))


def test_another_key_is_refused() -> None:
    with pytest.raises(BadArchive, match="another key"):
        read(made({"argos.db": b"x"}), key=bytes(32))


DATABASE = entry("argos.db", b"x")


@pytest.mark.threat("DAT-2")
@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("../etc/passwd", "neither"),
        ("/etc/passwd", "neither"),
        ("caddy/../argos.db", "holds a part"),
        ("caddy/..", "holds a part"),
        ("caddy/a/../../b", "holds a part"),
        ("caddy//etc", "holds a part"),
        ("caddy/./a", "holds a part"),
        ("caddy/", "holds a part"),
        ("caddy", "neither"),
        ("caddy/a\0b", "holds a part"),
        ("caddy/a\nb", "holds a part"),
        ("caddy/a\\b", "holds a part"),
        ("caddy/.restore/x", "holds a part"),
        ("caddy/-rf", "holds a part"),
        ("caddy/\u202etxt", "holds a part"),
        ("caddy/" + "a/" * 40 + "b", "too deep"),
        ("caddy/" + "a" * 300, "holds a part"),
        ("Argos.DB", "neither"),
        ("argos.db-wal", "neither"),
        ("caddy/C:\\windows", "holds a part"),
    ],
)
def test_a_name_that_leads_elsewhere_is_refused(name: str, reason: str) -> None:
    raw = made({"argos.db": b"x", name: b""}, manifest=Manifest((DATABASE, entry(name, b""))))
    with pytest.raises(BadArchive, match=reason):
        read(raw)


SHA = hashlib.sha256(b"x").hexdigest()


@pytest.mark.threat("DAT-2")
@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ([DATABASE, Entry("caddy/a", 1, SHA), Entry("caddy/a", 1, SHA)], "twice"),
        ([DATABASE, Entry("caddy/a", 1, SHA), Entry("caddy/A", 1, SHA)], "twice"),
        ([DATABASE, Entry("caddy/a", 1, SHA), Entry("caddy/a/b", 1, SHA)], "lies in another"),
        ([DATABASE, DATABASE], "twice"),
        ([Entry("caddy/a", 1, SHA), DATABASE], "does not come first"),
        ([Entry("caddy/a", 1, SHA)], "does not come first"),
        ([], "does not come first"),
        ([Entry("argos.db", -1, SHA)], "no proper size"),
        ([Entry("argos.db", 1, "00")], "no proper size"),
        ([Entry("argos.db", 2**40, SHA)], "64 GiB"),
        ([Entry("argos.db", 2, SHA)], "ends before"),
        ([Entry("argos.db", 0, SHA)], "not what the manifest names"),
        ([Entry("argos.db", 1, "0" * 64)], "not what the manifest names"),
    ],
)
def test_a_manifest_that_does_not_fit_is_refused(files: list[Entry], reason: str) -> None:
    with pytest.raises(BadArchive, match=reason):
        read(made({"argos.db": b"x"}, manifest=Manifest(tuple(files))))


def test_more_than_the_manifest_names_is_refused() -> None:
    with pytest.raises(BadArchive, match="more than"):
        read(made({"argos.db": b"x", "more": b"y"}, manifest=Manifest((DATABASE,))))


def sealed(packed: bytes) -> bytes:
    """An archive by a holder of the key who packs something else than :func:`archive.write` does."""
    found = header()
    first = archive.MAGIC + json.dumps({f: getattr(found, f) for f in found.__struct_fields__}).encode() + b"\n"
    sealer = archive._Chunks(found, KEY, first)
    pieces = [packed[start : start + archive.CHUNK] for start in range(0, len(packed), archive.CHUNK)] or [b""]
    return first + b"".join(sealer.seal(piece, last=piece is pieces[-1]) for piece in pieces)


LISTING = json.dumps({"files": [{"name": "argos.db", "size": 1, "sha256": SHA}]}).encode()
GOOD = struct.pack(">I", len(LISTING)) + LISTING + b"x"


@pytest.mark.threat("DAT-2")
@pytest.mark.parametrize(
    ("packed", "reason"),
    [
        (b"", "cut off"),
        (b"no zlib at all", "broken"),
        (zlib.compress(b"\xff\xff\xff\xff"), "manifest is too long"),
        (zlib.compress(struct.pack(">I", 5) + b"{]no!"), "not readable"),
        (zlib.compress(struct.pack(">I", 200_000) + b"[" * 200_000), "not readable"),
        (zlib.compress(b"\0"), "ends before"),
        (zlib.compress(GOOD) + b"behind", "follows"),
        (zlib.compress(struct.pack(">I", 12) + b'{"files":[]}')[:-3], "first"),
    ],
)
def test_packed_content_that_is_none_is_refused(packed: bytes, reason: str) -> None:
    with pytest.raises(BadArchive, match=reason):
        read(sealed(packed))


@pytest.mark.threat("DAT-2")
def test_a_bomb_is_refused_and_costs_no_memory() -> None:
    import tracemalloc

    packer = zlib.compressobj(9)
    packed = packer.compress(GOOD)
    packed += b"".join(packer.compress(bytes(1 << 20)) for _unused in range(256)) + packer.flush()
    raw = sealed(packed)
    tracemalloc.start()
    try:
        with pytest.raises(BadArchive, match="more than"):
            read(raw)
        _now, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 8 * 2**20


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"PK\x03\x04",
        b"argos backup 2\n{}\n",
        archive.MAGIC,
        archive.MAGIC + b"{}\n",
        archive.MAGIC + b"{" * 300_000 + b"\n",
        archive.MAGIC + b"x" * 300_000,
    ],
)
def test_what_is_no_archive_is_said_to_be_none(raw: bytes) -> None:
    with pytest.raises(BadArchive):
        read(raw)
