"""The archive's file format: docs/backup.md tells its shape, this module writes and reads it.

Reading never trusts what was read: every length is bounded before it is believed, and a
byte is handed on only after the chunk that carried it has been authenticated.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import secrets
import struct
import zlib
from collections.abc import Iterable, Iterator
from typing import BinaryIO

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from argos.errors import ArgosError

MAGIC = b"argos backup 1\n"
CHUNK = 256 * 1024
HEADER_LIMIT = 256 * 1024
MANIFEST_LIMIT = 8 * 1024 * 1024
MOST_FILES = 50_000
LARGEST_TOTAL = 64 * 1024**3
DATABASE = "argos.db"
CADDY = "caddy/"

_LENGTH = struct.Struct(">I")
_TAG = 16
_SALT = 32
# Caddy's storage: wildcard_.home.example, an IPv6 CA's directory, account names with @ and +.
_PART = re.compile(r"[A-Za-z0-9_+@=,~][A-Za-z0-9._+@=,~-]{0,254}")
_DEEPEST = 12


class BadArchive(ArgosError):
    """The file is no whole, unaltered backup that this key opens; the message says what is wrong."""


class Header(msgspec.Struct, frozen=True):
    """What an archive tells without its key; bound to the rest as additional data.

    ``wrapped_key`` is the data key ``backup`` of version ``key_version``, wrapped by the
    master key ``master_key_id``; it and ``salt`` are base64.
    """

    created_at: int
    schema: str
    version: str
    master_key_id: str
    key_version: int
    salt: str
    wrapped_key: str


class Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One file of the manifest: ``sha256`` in hex, ``size`` in bytes; more, such as a link's target, makes it none."""

    name: str
    size: int
    sha256: str


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Every file, in the order in which their bytes follow."""

    files: tuple[Entry, ...]


def new_header(
    *, created_at: int, schema: str, version: str, master_key_id: str, key_version: int, wrapped_key: bytes
) -> Header:
    """Return a header with a fresh salt, and so an archive key of its own."""
    salt, wrapped = (base64.b64encode(raw).decode() for raw in (secrets.token_bytes(_SALT), wrapped_key))
    return Header(created_at, schema, version, master_key_id, key_version, salt, wrapped)


def write(target: BinaryIO, header: Header, backup_key: bytes, manifest: Manifest, contents: Iterable[bytes]) -> None:
    """Write a whole archive.

    Args:
        target: an empty file.
        header: from :func:`new_header`.
        backup_key: the data key ``backup`` of ``header.key_version``.
        manifest: what ``contents`` holds.
        contents: the files' bytes in the manifest's order, in pieces of any length.
    """
    first = MAGIC + msgspec.json.encode(header) + b"\n"
    target.write(first)
    sealer = _Chunks(header, backup_key, first)
    packer = zlib.compressobj(level=1)
    listing = msgspec.json.encode(manifest)
    waiting = bytearray(packer.compress(_LENGTH.pack(len(listing)) + listing))
    for piece in contents:
        waiting += packer.compress(piece)
        while len(waiting) > CHUNK:
            target.write(sealer.seal(bytes(waiting[:CHUNK]), last=False))
            del waiting[:CHUNK]
    waiting += packer.flush()
    while len(waiting) > CHUNK:
        target.write(sealer.seal(bytes(waiting[:CHUNK]), last=False))
        del waiting[:CHUNK]
    target.write(sealer.seal(bytes(waiting), last=True))


def read_header(source: BinaryIO) -> tuple[Header, bytes]:
    """Read what stands before the chunks, and its bytes as the chunks are bound to them.

    Raises:
        BadArchive: this is no archive.
    """
    if source.read(len(MAGIC)) != MAGIC:
        raise BadArchive("it does not begin as a backup of Argos does")
    line = source.readline(HEADER_LIMIT + 1)
    if not line.endswith(b"\n"):
        raise BadArchive("its header is cut off or too long")
    try:
        header = msgspec.json.decode(line, type=Header)
        salt = base64.b64decode(header.salt, validate=True)
        base64.b64decode(header.wrapped_key, validate=True)
    except (msgspec.DecodeError, binascii.Error, ValueError, RecursionError):
        raise BadArchive("its header is not readable") from None
    if len(salt) != _SALT or not 0 < header.key_version < 2**31:
        raise BadArchive("its header is out of bounds")
    return header, MAGIC + line


class Reader:
    """The inside of an archive, once through, from front to back.

    Args:
        source: just behind the header.
        header: from :func:`read_header`.
        first: the header's bytes.
        backup_key: opens it.

    Raises:
        BadArchive: from every method, at the first thing that is not as it must be.
    """

    def __init__(self, source: BinaryIO, header: Header, first: bytes, backup_key: bytes) -> None:
        self._plain = _inflated(_Chunks(header, backup_key, first).opened(source))
        self._left = b""
        self.manifest = self._read_manifest()

    def files(self) -> Iterator[tuple[Entry, Iterator[bytes]]]:
        """Give each file with its bytes, which must be taken before the next; the last one proves the end."""
        for entry in self.manifest.files:
            yield entry, self._content(entry)
        if self._left or next(self._plain, b""):
            raise BadArchive("it holds more than its manifest names")

    def read_through(self) -> None:
        """Take every byte and keep none: what comes back from this is whole and unaltered."""
        for _entry, content in self.files():
            for _piece in content:
                pass

    def _content(self, entry: Entry) -> Iterator[bytes]:
        digest, missing = hashlib.sha256(), entry.size
        while missing:
            piece = self._take(missing)
            digest.update(piece)
            missing -= len(piece)
            yield piece
        if digest.hexdigest() != entry.sha256:
            raise BadArchive(f"{entry.name} is not what the manifest names")

    def _take(self, most: int) -> bytes:
        """At least one byte, at most ``most``."""
        if not self._left:
            self._left = next(self._plain, b"")
            if not self._left:
                raise BadArchive("it ends before its manifest does")
        piece, self._left = self._left[:most], self._left[most:]
        return piece

    def _exactly(self, size: int) -> bytes:
        found = bytearray()
        while len(found) < size:
            found += self._take(size - len(found))
        return bytes(found)

    def _read_manifest(self) -> Manifest:
        (size,) = _LENGTH.unpack(self._exactly(_LENGTH.size))
        if size > MANIFEST_LIMIT:
            raise BadArchive("its manifest is too long")
        try:
            manifest = msgspec.json.decode(self._exactly(size), type=Manifest)
        except (msgspec.DecodeError, RecursionError):
            raise BadArchive("its manifest is not readable") from None
        check_manifest(manifest)
        return manifest


def check_manifest(manifest: Manifest) -> None:
    """Refuse names that lead elsewhere, that come twice or lie in one another, and sizes out of bounds (DAT-2).

    Raises:
        BadArchive: the first of these.
    """
    if len(manifest.files) > MOST_FILES:
        raise BadArchive(f"it names {len(manifest.files)} files, and at most {MOST_FILES} are taken")
    seen: set[str] = set()
    for entry in manifest.files:
        if problem := _name_problem(entry.name):
            raise BadArchive(f"the name {entry.name[:120]!r} {problem}")
        # Storage may lie on a file system that folds case.
        folded = entry.name.casefold()
        if folded in seen:
            raise BadArchive(f"{entry.name!r} is in it twice")
        seen.add(folded)
        if entry.size < 0 or not re.fullmatch(r"[0-9a-f]{64}", entry.sha256):
            raise BadArchive(f"{entry.name!r} has no proper size and SHA-256")
    if sum(entry.size for entry in manifest.files) > LARGEST_TOTAL:
        raise BadArchive("it would unpack to more than 64 GiB")
    for name in seen:
        parts = name.split("/")
        if any("/".join(parts[:depth]) in seen for depth in range(1, len(parts))):
            raise BadArchive(f"{name!r} lies in another of its files")
    if not manifest.files or manifest.files[0].name != DATABASE:
        raise BadArchive("the database does not come first in it")


def _name_problem(name: str) -> str | None:
    if name == DATABASE:
        return None
    if not name.startswith(CADDY):
        return "is neither the database nor below caddy/"
    parts = name.split("/")
    if len(parts) > _DEEPEST or len(name) > 1024:
        return "is too deep or too long"
    return None if all(_PART.fullmatch(part) for part in parts) else "holds a part that no file of Caddy's has"


class _Chunks:
    """STREAM (Hoang, Reyhanitabar, Rogaway, Vizár 2015): the nonce is the chunk's number and whether it is the last."""

    def __init__(self, header: Header, backup_key: bytes, first: bytes) -> None:
        kdf = HKDF(algorithm=hashes.SHA256(), length=32, salt=base64.b64decode(header.salt), info=b"argos backup 1")
        self._cipher = AESGCM(kdf.derive(backup_key))
        self._bound = hashlib.sha256(first).digest()
        self._number = 0

    def seal(self, plain: bytes, *, last: bool) -> bytes:
        sealed = self._cipher.encrypt(self._nonce(last), plain, self._bound)
        return _LENGTH.pack(len(sealed)) + sealed

    def opened(self, source: BinaryIO) -> Iterator[bytes]:
        """Chunk by chunk, each authenticated; ends well only after a true last one with nothing behind it."""
        sealed = _read_chunk(source)
        if sealed is None:
            raise BadArchive("it ends after its header")
        while True:
            following = _read_chunk(source)
            last = following is None
            try:
                yield self._cipher.decrypt(self._nonce(last), sealed, self._bound)
            except InvalidTag:
                raise BadArchive("it was altered or cut off, or belongs to another key") from None
            if following is None:
                return
            sealed = following

    def _nonce(self, last: bool) -> bytes:
        number = self._number
        self._number += 1
        return number.to_bytes(11, "big") + (b"\1" if last else b"\0")


def _read_chunk(source: BinaryIO) -> bytes | None:
    prefix = source.read(_LENGTH.size)
    if not prefix:
        return None
    if len(prefix) < _LENGTH.size:
        raise BadArchive("it is cut off")
    (size,) = _LENGTH.unpack(prefix)
    if not _TAG <= size <= CHUNK + _TAG:
        raise BadArchive("it was altered: a chunk has an impossible length")
    sealed = source.read(size)
    if len(sealed) < size:
        raise BadArchive("it is cut off")
    return sealed


def _inflated(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Unpack in pieces of at most a chunk, whatever the compression claims (a bomb costs no memory)."""
    unpacker = zlib.decompressobj()
    for chunk in chunks:
        pending, more = chunk, True
        while more:
            if pending and unpacker.eof:
                raise BadArchive("something follows its packed content")
            try:
                piece = unpacker.decompress(pending, CHUNK)
            except zlib.error:
                raise BadArchive("its packed content is broken") from None
            pending = unpacker.unconsumed_tail
            # A full piece may have left more behind, inside the decompressor.
            more = bool(pending) or len(piece) == CHUNK
            if piece:
                yield piece
        if unpacker.unused_data:
            raise BadArchive("something follows its packed content")
    if not unpacker.eof:
        raise BadArchive("its packed content is cut off")
