"""The recovery sheet: BIP-39's own vectors, and every slip of the pen noticed."""

from __future__ import annotations

import base64
import random
import re

import pytest
import zxingcpp
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


Modules = list[list[bool]]
"""Rows of a QR code with its margin; True is dark."""
_BLOCKS = {" ": (True, True), "▀": (False, True), "▄": (True, False), "█": (False, False)}


def in_terminal(text: str) -> Modules:
    """What a terminal with light letters on a dark ground shows: each letter is two modules, one above the other."""
    lines = [line for line in text.splitlines() if line and set(line) <= _BLOCKS.keys()]
    assert len({len(line) for line in lines}) == 1
    return [[_BLOCKS[letter][half] for letter in line] for line in lines for half in (0, 1)]


def in_page(page: str) -> Modules:
    """What a browser draws of the page's only SVG: dark lines of one module's height (SVG 1.1 §8.3, m and h)."""
    [code] = re.findall(r"<svg .*</svg>", page)
    [size, height] = [int(number) for number in re.findall(r'(?:width|height)="(\d+)"', code)]
    [scale] = [int(number) for number in re.findall(r'transform="scale\((\d+)\)"', code)]
    assert size == height
    assert 'stroke="#000"' in code
    [path] = re.findall(r' d="([^"]+)"', code)
    rows = [[False] * (size // scale) for _unused in range(size // scale)]
    x = y = 0.0
    for command, first, second in re.findall(r"([Mmh])(-?[\d.]+)(?: (-?[\d.]+))?", path):
        if command == "h":
            for column in range(int(x), int(x + float(first))):
                rows[int(y)][column] = True
            x += float(first)
        else:
            x, y = (float(first), float(second)) if command == "M" else (x + float(first), y + float(second))
    return rows


def read(modules: Modules) -> str:
    """What another's reader of QR codes sees, as a camera does: eight pixels for a module."""
    rows = [bytes(0 if dark else 255 for dark in row for _unused in range(8)) for row in modules]
    image = b"".join(row * 8 for row in rows)
    pixels = memoryview(image).cast("B", (8 * len(rows), len(rows[0])))
    found = zxingcpp.read_barcodes(pixels, formats=zxingcpp.BarcodeFormat.QRCode, try_invert=False)
    assert len(found) == 1
    return str(found[0].text)


@pytest.mark.parametrize("key", [bytes(range(32)), bytes(32), b"\xff" * 32, random.Random(3).randbytes(32)])
def test_each_qr_code_holds_the_line_of_the_environment_file(key: bytes) -> None:
    value = base64.b64encode(key).decode()
    assert read(in_terminal(as_text(key, "edge", 1_800_000_000))) == value
    assert read(in_page(as_html(key, "edge", 1_800_000_000))) == value


def test_a_qr_code_with_a_stain_is_read_all_the_same_and_one_that_is_none_is_not() -> None:
    key = bytes(range(32))
    modules = in_page(as_html(key, "edge", 0))
    for row in modules[18:22]:  # 16 of 1089 modules: level M mends 15 % of the codewords (ISO/IEC 18004)
        row[18:22] = [False] * 4
    assert read(modules) == base64.b64encode(key).decode()
    with pytest.raises(AssertionError):
        read([[(row + column) % 2 == 0 for column in range(41)] for row in range(41)])


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
