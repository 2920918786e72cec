"""The scrubber finds a secret in every spelling that it may travel in."""

from __future__ import annotations

import base64
import json
from typing import Any
from urllib.parse import quote, quote_plus

import pytest
from argos import scrub
from argos.scrub import FORMER, REDACTED, Scrubber
from argos.spellings import Spelling
from hypothesis import given
from hypothesis import strategies as st

TOKEN = 'tök"en/with <odd>+cha&ract\\ers 42%'


@pytest.mark.threat("SEC-3")
@pytest.mark.parametrize(
    "spelled",
    [
        TOKEN,
        json.dumps(TOKEN),
        json.dumps(TOKEN, ensure_ascii=False),
        json.dumps(json.dumps(TOKEN)),
        json.dumps(TOKEN).replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"),
        quote(TOKEN),
        quote(TOKEN, safe=""),
        quote(TOKEN, safe="").replace("%C3%B6", "%c3%b6").replace("%2F", "%2f").replace("%3C", "%3c"),
        quote_plus(TOKEN),
    ],
)
def test_each_spelling_is_found(spelled: str) -> None:
    scrubbed = Scrubber([TOKEN]).scrub(f"before {spelled} after")
    assert REDACTED in scrubbed
    assert "ract" not in scrubbed
    assert scrubbed.startswith("before ")
    assert scrubbed.endswith(" after")


@pytest.mark.threat("SEC-3")
@pytest.mark.parametrize("user", ["", "a", "ab", "abc", "alice:", "bob.example:"])
@pytest.mark.parametrize("tail", ["", "!", "!!", "!!!"])
def test_base64_is_found_at_every_alignment(user: str, tail: str) -> None:
    text = base64.b64encode((user + TOKEN + tail).encode()).decode()
    scrubbed = Scrubber([TOKEN]).scrub(text)
    assert REDACTED in scrubbed
    # At each end at most three characters, which hold less than two bytes of the secret, are left.
    assert len(scrubbed.replace(REDACTED, "")) <= len(base64.b64encode((user + tail).encode())) + 6


@given(
    st.text(st.characters(min_codepoint=0x100, max_codepoint=0x24F), min_size=6, max_size=40),
    st.text(st.characters(max_codepoint=0xFF)),
    st.text(st.characters(max_codepoint=0xFF)),
)
def test_no_known_secret_survives_and_nothing_else_is_lost(secret: str, before: str, after: str) -> None:
    assert Scrubber([secret]).scrub(before + secret + after) == before + REDACTED + after


@given(st.text(st.characters()))
def test_any_text_can_be_learnt(secret: str) -> None:
    Scrubber([secret]).scrub(secret)


@given(st.text())
def test_without_secrets_text_stays_as_it_is(text: str) -> None:
    assert Scrubber().scrub(text) == text


def test_short_values_are_left_alone() -> None:
    assert Scrubber(["admin", "", "  a  "]).scrub("the admin is a person") == "the admin is a person"


def test_the_longer_secret_goes_first() -> None:
    assert Scrubber(["secret", "secretsecret2"]).scrub("secretsecret2!") == "[redacted]!"


def test_one_line_of_a_private_key_is_found() -> None:
    key = "-----BEGIN PRIVATE KEY-----\nMIGHAgEAMBMGByqGSM49AgEGCCqG\nSM49AwEHBG0wawIBAQQg\n-----END PRIVATE KEY-----\n"
    scrubber = Scrubber([key])
    assert scrubber.scrub("bad line MIGHAgEAMBMGByqGSM49AgEGCCqG") == "bad line [redacted]"
    assert scrubber.scrub("-----BEGIN PRIVATE KEY-----") == "-----BEGIN PRIVATE KEY-----"


@given(st.text("%aAbB2f", min_size=6, max_size=9), st.text("%aAbB2f"), st.text("%aAbB2f"))
def test_a_secret_is_found_whatever_stands_beside_it(secret: str, before: str, after: str) -> None:
    assert secret not in Scrubber([secret]).scrub(before + secret + after)
    decoy = Scrubber(["%AB2f%aB", "abB2fa", secret, "aaAAbb"])
    assert secret not in decoy.scrub(before + secret + after).replace(REDACTED, "-")


def test_a_long_one_is_taken_out_whole_and_where_it_was_cut() -> None:
    value = "".join(chr(0x4E00 + number) for number in range(5000))
    assert Scrubber([value]).scrub(f"<{value}>") == "<[redacted]>"
    assert Scrubber([value]).scrub(f"<{value[:300]}") == "<[redacted]"


@pytest.mark.threat("DAT-4")
def test_a_replaced_value_is_known_for_a_while_and_then_forgotten() -> None:
    scrubber = Scrubber(["of the start"])
    scrubber.hold("token", "the first value")
    scrubber.hold("other", "the first value")
    alone = len(scrubber)
    scrubber.hold("token", "the second value")
    assert scrubber.scrub("the first value, the second value") == "[redacted], [redacted]"
    scrubber.release("token")
    assert scrubber.scrub("the second value") == REDACTED, "an error may quote it yet"
    for number in range(1000):
        scrubber.remember(f"refused value {number}")
        scrubber.hold("third", f"value number {number}")
    assert scrubber.scrub("the second value") == "the second value"
    assert scrubber.scrub("refused value 0, refused value 999") == "refused value 0, [redacted]"
    assert scrubber.scrub("of the start, the first value") == "[redacted], [redacted]", "another name still has it"
    assert len(scrubber) < alone + (FORMER + 1) * 16


def test_what_was_forgotten_leaves_nothing() -> None:
    scrubber = Scrubber()
    for number in range(FORMER + 1):
        scrubber.remember(f"a värlue of its own {number}")
    most = len(scrubber)
    for number in range(FORMER + 1):
        scrubber.remember(f"b värlue of its own {number}")
    assert len(scrubber) <= most
    assert scrubber.scrub("a värlue of its own 0") == "a värlue of its own 0"
    assert not any("a v" in key for key in scrubber._index)


@pytest.mark.threat("DAT-4")
def test_how_much_is_held_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scrub, "MOST_HELD", 40)
    monkeypatch.setattr(scrub, "MOST_FORMER", 60)
    scrubber, lines = Scrubber(), "\n".join(f"line number {number:>8}" for number in range(3))
    assert scrubber.has_room("a", lines) is True
    scrubber.hold("a", lines)
    assert scrubber.has_room("b", lines) is False
    assert scrubber.has_room("a", lines + "!") is True, "it takes the place of its own"
    for number in range(20):
        scrubber.remember(f"{lines}{number}")
    assert len(scrubber) <= 100


def test_a_thousand_secrets_cost_a_text_no_more_than_one() -> None:
    """Counted in steps, not in seconds: at each place one look into the index, whatever is in it."""
    looks: list[str] = []

    class Counting(dict[str, tuple[Spelling, ...]]):
        def __contains__(self, key: object) -> bool:
            looks.append(str(key))
            return super().__contains__(key)

        def get(self, key: str, default: Any = None) -> Any:
            looks.append(key)
            return super().get(key, default)

    text = "a line of a log, without any secret in it, " * 20
    for count in (1, 1000):
        scrubber = Scrubber(f"sëcret/{number * 7919 % 9973}/token" for number in range(count))
        scrubber._index = Counting(scrubber._index)
        looks.clear()
        assert scrubber.scrub(text) == text
        assert len(looks) <= len(text)


def test_values_inside_of_values_are_scrubbed() -> None:
    value = {"a": ["x hunter2!", {"hunter2!": 3}], "b": None, "c": ("hunter2!",), "d": True}
    assert Scrubber(["hunter2!"]).scrub_value(value) == {
        "a": ["x [redacted]", {"[redacted]": 3}],
        "b": None,
        "c": ["[redacted]"],
        "d": True,
    }
