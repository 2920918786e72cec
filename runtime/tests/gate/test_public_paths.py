"""AUT-2: a public path cannot be stretched. The corpus is data; the integration suite sends it through Caddy."""

from __future__ import annotations

import json
import posixpath
from pathlib import Path

import pytest
from argos.gate.public_paths import declared_path_problem, is_public
from hypothesis import given
from hypothesis import strategies as st

CORPUS = json.loads((Path(__file__).parents[1] / "data" / "public_paths.json").read_text("utf-8"))
PUBLIC = CORPUS["public"]


@pytest.mark.threat("AUT-2")
@pytest.mark.parametrize(("uri", "public", "why"), CORPUS["cases"], ids=[case[2] for case in CORPUS["cases"]])
def test_a_target_is_public_only_when_nobody_can_read_it_in_two_ways(uri: str, public: bool, why: str) -> None:
    assert is_public(PUBLIC, uri) is public, why


def test_the_corpus_is_large_enough_and_its_paths_can_be_declared() -> None:
    assert len(CORPUS["cases"]) >= 40
    assert [declared_path_problem(path) for path in PUBLIC] == [None] * len(PUBLIC)


def test_nothing_is_public_that_was_not_declared() -> None:
    assert not is_public((), "/health")


@pytest.mark.parametrize(
    "path", ["", "health", "/*", "/a*", "/a/*/b", "/a//b", "/a/../b", "/a;b", "/a%2f", "/a\\b", "/a?b", "/a#b", "/é"]
)
def test_a_path_that_could_be_read_in_two_ways_cannot_be_declared(path: str) -> None:
    assert declared_path_problem(path) is not None


_PIECES = st.sampled_from(["/", ".", "..", "%2e", "%2f", ";", "\\", "static", "admin", "health", "a", "?", "#", "%"])


@pytest.mark.threat("AUT-2")
@given(st.lists(_PIECES, max_size=12).map("".join))
def test_what_is_public_is_its_own_cleaned_form(target: str) -> None:
    uri = "/" + target
    if not is_public(PUBLIC, uri):
        return
    path = uri.partition("?")[0]
    assert not set(path) & set("%;\\#")
    cleaned = posixpath.normpath(path)
    assert path in {cleaned, cleaned + "/"}
    assert path in {"/", "/health", "/api/v1/hook"} or path.startswith(("/static/", "/.well-known/"))
