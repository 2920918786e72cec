"""The recovery sheet: BIP-39's own vectors, and every slip of the pen noticed."""

from __future__ import annotations

import base64
import random

import pytest
from argos.recovery_sheet.sheet import as_html, as_text
from argos.recovery_sheet.words import BadWords, from_words, to_words
from argos.vault import key_id
from hypothesis import given
from hypothesis import strategies as st

# From the standard's test vectors (trezor/python-mnemonic, vectors.json).
VECTORS = {
    "00" * 32: "abandon " * 23 + "art",
    "7f" * 32: "legal winner thank year wave sausage worth useful " * 2
    + "legal winner thank year wave sausage worth title",
    "80" * 32: "letter advice cage absurd amount doctor acoustic avoid " * 2
    + "letter advice cage absurd amount doctor acoustic bless",
    "ff" * 32: "zoo " * 23 + "vote",
}


@pytest.mark.parametrize(("key", "words"), VECTORS.items())
def test_the_words_are_those_of_the_standard(key: str, words: str) -> None:
    assert " ".join(to_words(bytes.fromhex(key))) == words.strip()
    assert from_words(words) == bytes.fromhex(key)


@given(st.binary(min_size=32, max_size=32))
def test_words_lead_back_to_the_key_however_they_are_written(key: bytes) -> None:
    words = to_words(key)
    assert from_words(" ".join(words)) == key
    numbered = "\n".join(f"{place:>2}. {word.upper()}" for place, word in enumerate(words, 1))
    assert from_words(numbered) == key
    assert from_words(",".join(word[:4] for word in words)) == key


def test_a_slip_is_noticed_and_no_word_is_quoted() -> None:
    words = to_words(bytes(range(32)))
    for wrong in (words[:-1], [*words, "zoo"], ["nonsense", *words[1:]], [words[0] + "x", *words[1:]]):
        with pytest.raises(BadWords) as raised:
            from_words(" ".join(wrong))
        assert not any(word in raised.value.message.split() for word in wrong)
    noticed = 0
    dice = random.Random(1)
    for _unused in range(200):
        first, second = dice.sample(range(24), 2)
        swapped = list(words)
        swapped[first], swapped[second] = swapped[second], swapped[first]
        try:
            noticed += from_words(" ".join(swapped)) == b""
        except BadWords:
            noticed += 1
    assert noticed > 190, "a checksum of 8 bits lets one in 256 pass"


def test_the_sheet_holds_the_key_in_every_spelling_and_its_id() -> None:
    key = bytes(range(32))
    text, page = as_text(key, "edge", 1_800_000_000), as_html(key, "<edge>", 1_800_000_000)
    for shown in (text, page):
        assert base64.b64encode(key).decode() in shown
        assert key_id(key) in shown
        for word in to_words(key):
            assert word in shown
    assert "&lt;edge&gt;" in page
    assert "http" not in page.replace("http://www.w3.org", ""), "the page loads nothing"
    assert "▀" in text or "█" in text
