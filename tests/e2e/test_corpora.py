"""The corpora of hostile return URLs, headers and paths through the real edge: it refuses what the functions refuse."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import pytest
from lab.admin_api import Declaration
from lab.guest import CHECKOUT, Guest
from lab.people import Panel, People, Person
from lab.visitor import Visitor
from lab.wire import Wire, WireAnswer

DATA = CHECKOUT / "runtime" / "tests" / "data"
DENIED = {302, 400, 401, 403, 404, 421, 431}
SESSION = "__Secure-argos_session"


def corpus(name: str) -> Any:
    return json.loads((DATA / name).read_text(encoding="utf-8"))


def token_of(client: Visitor) -> str:
    return client.http.cookies[SESSION]


@pytest.mark.threat("OIDC-5")
def test_no_return_url_of_the_corpus_leads_away_from_home(
    guest: Guest, signed_in: Visitor, declaration: Declaration
) -> None:
    """``/continue`` of a signed-in person: the last page before the browser leaves the panel."""
    assert declaration.panel == f"argos.{declaration.parent}", "as in the corpus"
    cookie = f"Cookie: __Host-argos_panel={signed_in.http.cookies['__Host-argos_panel']}"
    tried = 0

    def here(text: str) -> str:
        return re.sub(r"home\.example", declaration.parent, text, flags=re.IGNORECASE)

    with Wire(guest, declaration.panel) as wire:
        for case in corpus("return_urls.json"):
            raw = here(case["raw"])
            if case["site"] != "https" or len(raw) > 9000 or re.search("[\ud800-\udfff]", raw):
                continue  # another installation's; longer than a request line is read; what no UTF-8 holds
            answer = wire.get(f"/continue?rd={quote(raw, safe='')}", cookie)
            assert answer.status == 200, (case, answer)
            leads = re.search(r'http-equiv="refresh" content="0; url=([^"]*)"', answer.body.decode())
            assert leads, case
            assert html.unescape(leads[1]) == here(case["expected"]), case
            tried += 1
    assert tried >= 60


@pytest.mark.threat("FWD-1")
@pytest.mark.threat("FWD-3")
@pytest.mark.threat("AUT-3")
def test_no_header_of_the_corpus_opens_a_host_or_changes_who_one_is(
    guest: Guest,
    signed_in: Visitor,
    new_visitor: Callable[..., Visitor],
    alice: Person,
    people: People,
    panel: Panel,
    declaration: Declaration,
) -> None:
    """Sent by a client, who can say all that Caddy says to the gate, and more."""
    other = new_visitor()
    panel.sign_in(other, people.create("e2e-other", must_change=False))
    tokens = {"{token-1}": token_of(signed_in)[:-1], "{token}": token_of(signed_in), "{other}": token_of(other)}
    found, statuses = corpus("gate_headers.json"), []
    with Wire(guest, declaration.name("e2e-guarded")) as wire:
        for case in found["cases"]:
            answer = wire.ask(as_a_client_sends(found["base"], case, wire.host, tokens))
            admitted = "cookie" not in case or 200 in case["expect"]
            if not admitted or "two valid sessions" in case["name"]:
                assert answer.status in DENIED, (case["name"], answer)
            elif is_harmless(case):
                assert answer.status == 200, (case["name"], answer)
            check_identity(case["name"], answer, alice)
            statuses.append(answer.status)
        assert wire.get("/", f"Cookie: {SESSION}={tokens['{token}']}").status == 200
    assert len(statuses) >= 40
    assert statuses.count(200) >= 20, "the edge drops what a client says in Caddy's name"


def as_a_client_sends(base: list[list[str]], case: dict[str, Any], host: str, tokens: dict[str, str]) -> bytes:
    """Return a case's request, to the host instead of the gate."""
    kept = [[name, case.get("replace", {}).get(name, value)] for name, value in base]
    kept = [pair for pair in kept if pair[0] not in {"Host", *case.get("without", [])}]
    cookie = case.get("cookie", f"{SESSION}={{token}}")
    lines = [["Host", host], *kept, *([["Cookie", cookie]] if cookie is not None else [])]
    for name, value in case.get("add", []):
        lines += [[name, value]] * (192 if value == "{192 more}" else 1)
    head = "".join(f"{name}: {value}\r\n" for name, value in lines)
    for placeholder, token in tokens.items():
        head = head.replace(placeholder, token)
    head = re.sub(r"\{(\d+)\}", lambda match: "a" * int(match[1]), head)
    return f"{case.get('line', 'GET /verify HTTP/1.1')}\r\n{head}\r\n{case.get('raw', '')}".encode("latin-1")


def is_harmless(case: dict[str, Any]) -> bool:
    """Tell whether a client's request is good HTTP/1.1, and odd only in what the edge takes out or says itself."""
    touched = [*case.get("add", []), *case.get("replace", {}).items()]
    names = re.compile(r"(argos[-_.]|x-forwarded-|x-auth-|cookie$)[a-z_.-]*|connection", re.IGNORECASE)
    return not {"line", "raw"} & case.keys() and all(
        names.fullmatch(name) and value.isascii() and not re.search(r"\{\d", value) and value != "Upgrade"
        for name, value in touched
    )


def check_identity(name: str, answer: WireAnswer, person: Person) -> None:
    """Fail where an upstream was told of anybody but ``person``, or a client of anybody."""
    assert not [key for key, _unused in answer.headers if key.lower().startswith("x-auth-")], name
    if answer.body.startswith(b"{"):  # at "/" the sample shows a page
        received = answer.received()
        assert received.one("x-auth-user") == person.username, name
        names = {key for key, _unused in received.identity()}
        assert names <= {"x-auth-user", "x-auth-email", "x-auth-name", "x-auth-provider"}, (name, names)
        assert SESSION not in " ".join(received.all("cookie")), name


@pytest.mark.threat("AUT-2")
def test_no_path_of_the_corpus_stretches_a_public_one(
    guest: Guest, declaration: Declaration, more_hosts: Callable[..., None]
) -> None:
    found = corpus("public_paths.json")
    paths = [{"path": path, "access": "public"} for path in found["public"]]
    more_hosts(declaration.host("e2e-partly", auth={"required": True, "paths": paths}))
    forged = ("X-Auth-User: root", "X-Original-URL: /health", "X-Forwarded-Uri: /health", "Argos-Visitor: anonymous")
    tried = 0
    with Wire(guest, declaration.name("e2e-partly")) as wire:
        for target, public, why in found["cases"]:
            if not target or not target.isascii() or "\t" in target:
                continue  # no request line could hold it
            answer = wire.get(target, *forged)
            tried += 1
            if not public:
                assert answer.status in DENIED, (target, why, answer)
                continue
            received = answer.received()
            assert received.target == target, why
            assert {value for _unused, value in received.identity()} == {""}, (why, received.identity())
    assert tried >= 40
