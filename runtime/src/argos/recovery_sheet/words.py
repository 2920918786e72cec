"""A 32-byte key as 24 words with a checksum, and back: BIP-39's words and encoding.

``bip39_english.txt`` is the list of the standard (SHA-256 2f5eed53…), so that any
tool for BIP-39 reads a sheet too. Four letters tell each word apart.
"""

from __future__ import annotations

import hashlib
from functools import cache
from importlib import resources

from argos.errors import ArgosError

KEY_BYTES = 32
WORDS = 24
_BITS = 11
_PREFIX = 4


class BadWords(ArgosError):
    """The words are no key; the message names a position, never a word."""


def to_words(key: bytes) -> list[str]:
    """Return the 24 words of a key.

    Args:
        key: 32 bytes.
    """
    if len(key) != KEY_BYTES:
        raise ValueError(f"{len(key)} bytes, not {KEY_BYTES}")
    number = int.from_bytes(key + hashlib.sha256(key).digest()[:1], "big")
    words = _words()
    return [words[number >> (_BITS * place) & 0x7FF] for place in reversed(range(WORDS))]


def from_words(text: str) -> bytes:
    """Return the key of 24 words, separated by anything but letters; the first four letters of each are enough.

    Raises:
        BadWords: a word is unknown, one is missing, or the checksum is wrong.
    """
    given = "".join(letter if letter.isalpha() else " " for letter in text.lower()).split()
    if len(given) != WORDS:
        raise BadWords(f"There are {len(given)} words; a sheet has {WORDS}")
    places = {word[:_PREFIX]: index for index, word in enumerate(_words())}
    number = 0
    for position, word in enumerate(given, 1):
        index = places.get(word[:_PREFIX])
        if index is None or not _words()[index].startswith(word):
            raise BadWords(f"Word {position} is not on the list; look at its spelling")
        number = number << _BITS | index
    key, checksum = divmod(number, 256)
    found = key.to_bytes(KEY_BYTES, "big")
    if hashlib.sha256(found).digest()[0] != checksum:
        raise BadWords("The words do not fit together: one is wrong, or two changed places")
    return found


@cache
def _words() -> tuple[str, ...]:
    return tuple((resources.files(__package__) / "bip39_english.txt").read_text(encoding="ascii").split())
