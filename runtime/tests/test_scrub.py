"""The scrubber finds a secret in every spelling that it may travel in."""

from __future__ import annotations

import base64
import json
from urllib.parse import quote, quote_plus

import pytest
from argos.scrub import REDACTED, Scrubber
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


def test_values_inside_of_values_are_scrubbed() -> None:
    value = {"a": ["x hunter2!", {"hunter2!": 3}], "b": None, "c": ("hunter2!",), "d": True}
    assert Scrubber(["hunter2!"]).scrub_value(value) == {
        "a": ["x [redacted]", {"[redacted]": 3}],
        "b": None,
        "c": ["[redacted]"],
        "d": True,
    }
