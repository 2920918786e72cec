"""AUT-2 through the real Caddy and the real gate: the corpus on the wire, and what the upstream is told."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from argos.accounts import Passwords, Throttle
from argos.accounts.people import People, Wanted
from argos.accounts.records import Records
from argos.clock import SystemClock
from argos.sessions.store import Sessions
from argos.storage.tables import users
from edge_rig import ACTOR, IDENTITY, YES, EchoUpstream, Edge, Gate, http
from sqlalchemy import insert, select

GUARDED = "guarded.home.example"
CLOSED = "closed.home.example"
CORPUS = json.loads((Path(__file__).parents[3] / "runtime" / "tests" / "data" / "public_paths.json").read_text("utf-8"))


def hosts(echo: EchoUpstream) -> list[dict[str, object]]:
    paths = [{"path": path, "access": "public"} for path in CORPUS["public"]]
    return [
        {
            "name": GUARDED,
            "upstreams": [{"url": echo.url}],
            "auth": {"required": True, "groups": ["family"], "paths": paths},
        },
        {"name": CLOSED, "upstreams": [{"url": echo.url}], "auth": {"required": True}},
    ]


@pytest.mark.threat("AUT-2")
@pytest.mark.threat("FWD-1")
def test_a_public_path_opens_itself_and_nothing_else(
    edge: Edge, echo: EchoUpstream, real_gate: subprocess.Popen[bytes]
) -> None:
    edge.apply(hosts(echo))
    forged = "x-auth-user: root\r\nX-Auth-Email: a@b.example\r\nConnection: X-Auth-User\r\nX-Original-URL: /admin\r\n"
    for uri, public, why in CORPUS["cases"]:
        if not uri or not uri.isascii() or "\t" in uri:
            continue  # no request line could hold it
        answer = edge.ask(GUARDED, uri, forged)
        if not public:
            assert answer.status in {400, 401, 403, 404, 421}, (uri, why, answer.status)
            continue
        received = answer.received()
        assert received.path == uri
        assert [received.all(name) for name in IDENTITY] == [[""]] * 4, why
        assert not {"x-original-url", "argos-visitor"} & received.names()
    assert edge.ask(CLOSED, "/health", forged).status == 401


@pytest.mark.threat("AUT-2")
@pytest.mark.threat("FWD-1")
def test_a_public_path_passes_a_persons_identity_on_and_opens_no_other_path_to_them(
    edge: Edge, echo: EchoUpstream, real_gate: subprocess.Popen[bytes]
) -> None:
    edge.apply(hosts(echo))
    with edge.storage.write() as connection:
        row = {"username": "bob", "role": "member", "created_at": 1, "updated_at": 1, "groups": '["work"]'}
        user = connection.execute(insert(users).values(**row)).inserted_primary_key[0]
    issued = Sessions(edge.storage, edge.audit, edge.epoch).begin(ACTOR, user, "127.0.0.1")
    cookie = f"Cookie: __Secure-argos_session={issued.edge_token}\r\n"
    for _unused in range(3):  # the second answer must not come from what the first one left in the cache
        inside = edge.ask(GUARDED, "/static/a", cookie).received()
        assert inside.all("X-Auth-User") == ["bob"]
        refused = edge.ask(GUARDED, "/private", cookie + "Sec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: document\r\n")
        assert refused.status == 403
        assert b"bob" in refused.body
        assert b"/denied?rd=https%3A%2F%2Fguarded.home.example" in refused.body
        assert edge.ask(GUARDED, "/static/../private", cookie).status == 403


@pytest.mark.threat("LOG-5")
@pytest.mark.parametrize(
    "wanted",
    [Wanted(groups=()), Wanted(role="admin"), Wanted(disabled=True), Wanted(password="quite another one")],
    ids=["groups", "role", "disabled", "password"],
)
def test_a_change_of_rights_is_felt_at_the_gate_by_the_very_next_request(
    edge: Edge, echo: EchoUpstream, real_gate: subprocess.Popen[bytes], wanted: Wanted
) -> None:
    edge.apply(hosts(echo))
    sessions = Sessions(edge.storage, edge.audit, edge.epoch)
    passwords = Passwords(edge.vault, cost=4)
    people = People(Records(edge.storage, edge.audit, sessions, edge.epoch, passwords, Throttle(SystemClock())))
    people.put(ACTOR, "carol", Wanted(groups=("family",)))
    with edge.storage.read() as connection:
        user = connection.execute(select(users.c.id).where(users.c.username == "carol")).scalar_one()
    issued = sessions.begin(ACTOR, user, "127.0.0.1")
    cookie = f"Cookie: __Secure-argos_session={issued.edge_token}\r\n"
    for _unused in range(3):
        assert edge.ask(GUARDED, "/private", cookie).status == 200
    people.put(ACTOR, "carol", wanted)
    assert edge.ask(GUARDED, "/private", cookie).status == 401


@pytest.mark.threat("FWD-3")
@pytest.mark.parametrize(
    ("host", "user", "mark", "status"),
    [
        (GUARDED, "", "", 502),
        (GUARDED, "", "Anonymous", 502),
        (GUARDED, "alice", "anonymous", 502),
        (GUARDED, "", "anonymous", 200),
        (CLOSED, "", "anonymous", 502),
        (CLOSED, "alice", "", 200),
    ],
)
def test_an_answer_without_a_name_is_believed_only_where_anonymous_visitors_may_be(
    edge: Edge, echo: EchoUpstream, gate: Gate, host: str, user: str, mark: str, status: int
) -> None:
    edge.apply(hosts(echo))
    headers = dict.fromkeys(IDENTITY, "") | {"X-Auth-User": user}
    gate.answer = lambda _unused: http("200 OK", {**headers, **({"Argos-Visitor": mark} if mark else {})})
    assert edge.ask(host, "/health").status == status
    gate.answer = lambda _unused: YES
    assert edge.ask(host, "/health").status == 200
