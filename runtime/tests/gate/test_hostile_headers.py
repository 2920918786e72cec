"""Every hostile request of ``gate_headers.json`` gets its denial, and the gate answers the next one."""

from __future__ import annotations

import contextlib
import json
import re
from pathlib import Path

import pytest

CORPUS = json.loads((Path(__file__).parents[1] / "data" / "gate_headers.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def tokens(standing) -> dict[str, str]:
    alice = standing.database.session(standing.database.user())
    bob = standing.database.session(standing.database.user("bob"))
    return {"{token}": alice, "{token-1}": alice[:-1], "{other}": bob}


def written(case: dict, tokens: dict[str, str]) -> bytes:
    """Return the request of a case as it goes over the wire."""
    kept = [
        [name, case.get("replace", {}).get(name, value)]
        for name, value in CORPUS["base"]
        if name not in case.get("without", [])
    ]
    cookie = case.get("cookie", "__Secure-argos_session={token}")
    lines = kept + ([["Cookie", cookie]] if cookie is not None else [])
    for name, value in case.get("add", []):
        lines += [[name, value]] * (192 if value == "{192 more}" else 1)
    head = "".join(f"{name}: {value}\r\n" for name, value in lines)
    for placeholder, token in tokens.items():
        head = head.replace(placeholder, token)
    head = re.sub(r"\{(\d+)\}", lambda match: "a" * int(match[1]), head)
    return f"{case.get('line', 'GET /verify HTTP/1.1')}\r\n{head}\r\n{case.get('raw', '')}".encode("latin-1")


@pytest.mark.threat("FWD-3")
@pytest.mark.threat("FWD-1")
@pytest.mark.threat("AUT-3")
@pytest.mark.parametrize("case", CORPUS["cases"], ids=[case["name"] for case in CORPUS["cases"]])
@pytest.mark.parametrize("warm", [False, True], ids=["cold", "cached"])
def test_a_hostile_request_gets_the_answer_it_deserves(standing, tokens, case: dict, warm: bool) -> None:
    gate = standing.gate
    standing.heart.writer.advance()  # empties the cache
    if warm:
        assert gate.ask(tokens["{token}"]).status == 200
    client = gate.client()
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # refused before all of it was sent
        client.send(written(case, tokens))
    response = client.receive()
    client.close()
    assert response is not None
    assert response.status in case["expect"]
    assert response.headers["cache-control"] == "no-store"
    if response.status == 200:
        assert response.headers["x-auth-user"] == "alice"
    else:
        assert not any(name.startswith("x-auth-") for name in response.headers)
    if response.status == 302:
        assert response.headers["location"].startswith("https://argos.home.example/login?rd=https%3A%2F%2Fphotos.home")
    assert gate.ask(tokens["{token}"]).status == 200


def test_the_corpus_is_large_enough_to_mean_something() -> None:
    assert len(CORPUS["cases"]) >= 40
    assert len({case["name"] for case in CORPUS["cases"]}) == len(CORPUS["cases"])
