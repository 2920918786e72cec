"""DEP-4: a dead or hostile CrowdSec costs a bounded time and memory, and is told from stale credentials."""

from __future__ import annotations

import json
import resource
import time

import pytest
from argos.threat.errors import CredentialsStale, LapiUnavailable
from argos.threat.lapi import OBJECTS_LIMIT, Lapi, Machine
from hostile_lapi import KEY, LOGIN, PASSWORD, Answer, HostileLapi, dripping, endless, saying
from panel_runtime import Browser, Runtime
from ports import free_port
from stored_credentials import give_credentials

pytestmark = pytest.mark.threat("DEP-4")
VALUE = "203.0.113.7"
ONE = {"id": 1, "value": VALUE, "scope": "Ip", "type": "ban", "origin": "x", "scenario": "x", "duration": "4h"}
GARBAGE: dict[str, Answer] = {
    "html": saying(200, b"<html>not JSON"),
    "empty": saying(200, b""),
    "a text": saying(200, b'"banned"'),
    "wrong shape": saying(200, b'[{"id": "one"}]'),
    "deep": saying(200, b"[" * 200_000),
    "cut short": saying(200, b'[{"id":', length=4000),
    "another success": saying(202, b"[]"),
    "redirect": saying(302, b"", Location="http://127.0.0.1:1/"),
    "server error": saying(500, b'{"message": "no"}'),
    "many objects": saying(200, b"[" + b"{}," * (OBJECTS_LIMIT + 1) + b"{}]"),
    "endless": endless,
    "dripping": dripping,
    "no HTTP": lambda handler: handler.wfile.write(b"\x16\x03\x01 hello\r\n\r\n"),
}


def client(lapi: HostileLapi, *, deadline: float = 30.0, password: str = PASSWORD, key: str = KEY) -> Lapi:
    return Lapi(lambda: lapi.url, lambda: Machine(LOGIN, password), lambda: key, deadline=deadline)


def ask(mine: Lapi, path: str) -> None:
    if path == "/v1/decisions":
        mine.decisions()
    else:
        mine.add(VALUE, "ip", 3600, "x", "argos")


@pytest.mark.parametrize("name", GARBAGE)
@pytest.mark.parametrize("path", ["/v1/decisions", "/v1/watchers/login", "/v1/alerts"])
def test_a_bad_answer_is_no_answer_within_a_bounded_time(lapi: HostileLapi, path: str, name: str) -> None:
    lapi.answers[path] = GARBAGE[name]
    began, used = time.monotonic(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(LapiUnavailable) as refused:
        ask(client(lapi, deadline=1.0), path)
    assert time.monotonic() - began < 30, "and not the minute that it drips"
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - used < 200 * 1024  # KiB
    assert PASSWORD not in refused.value.message
    assert refused.value.retry_after > 0


def test_nobody_listening_is_unavailable_and_says_so(lapi: HostileLapi) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    dead = Lapi(lambda: url, lambda: Machine(LOGIN, PASSWORD), lambda: KEY)
    for asked in (dead.decisions, dead.check):
        with pytest.raises(LapiUnavailable, match="does not answer"):
            asked()


def test_a_token_is_kept_and_replaced_once_when_crowdsec_restarts(lapi: HostileLapi) -> None:
    mine = client(lapi)
    mine.check()
    mine.check()
    assert lapi.count("/v1/watchers/login") == 1
    lapi.tokens.clear()  # a token dies with CrowdSec's restart
    mine.check()
    mine.check()
    assert lapi.count("/v1/watchers/login") == 2


def test_a_token_that_is_never_taken_is_not_asked_for_in_a_loop(lapi: HostileLapi) -> None:
    lapi.answers["/v1/heartbeat"] = saying(401, b"{}")
    with pytest.raises(CredentialsStale):
        client(lapi).check()
    assert lapi.count("/v1/heartbeat") == 2
    assert lapi.count("/v1/watchers/login") <= 2


def test_refused_credentials_are_stale_and_a_server_error_is_not(lapi: HostileLapi) -> None:
    stale = client(lapi, password="wrong")
    for _unused in range(5):
        with pytest.raises(CredentialsStale, match="argos crowdsec credentials"):
            stale.check()
    assert lapi.count("/v1/watchers/login") == 1, "a refused login costs LAPI a bcrypt: not again at once"
    with pytest.raises(CredentialsStale):
        client(lapi, key="wrong").decisions()
    lapi.answers["/v1/watchers/login"] = saying(503, b"{}")
    with pytest.raises(LapiUnavailable):
        client(lapi).check()


def test_a_token_that_would_be_a_header_of_its_own_is_refused(lapi: HostileLapi) -> None:
    for token in ("a\r\nX-Evil: 1", "", "ü", "a" * 5000, "a b"):
        lapi.answers["/v1/watchers/login"] = saying(200, json.dumps({"token": token}).encode())
        with pytest.raises(LapiUnavailable):
            client(lapi).check()


def test_what_lapi_says_is_one_printable_line_and_never_negative(lapi: HostileLapi) -> None:
    odd = [
        {**ONE, "scenario": "a\x1b[2J\r\nb\u202e"},
        {**ONE, "id": 2, "value": "x" * 100_000, "scope": "Country"},
        {**ONE, "id": 3, "duration": "-5s"},
        {**ONE, "id": 4, "duration": "4 parsecs"},
        {**ONE, "id": 5, "duration": "9" * 60 + "h"},
        {**ONE, "id": 6, "duration": "1h2m3.5s"},
    ]
    lapi.answers["/v1/decisions"] = saying(200, json.dumps(odd).encode())
    found = {one.id: one for one in client(lapi).decisions()}
    assert sorted(found) == [1, 2, 6]
    assert found[1].scenario == "a?[2J??b?"
    assert len(found[2].value) == 256
    assert found[6].seconds == 3724


def test_the_api_and_the_page_stay_up_and_tell_down_from_stale(runtime: Runtime, lapi: HostileLapi) -> None:
    browser = Browser(runtime)
    browser.sign_in("root-admin")
    lapi.answers["/v1/"] = saying(500, b'{"message": "database is locked"}')
    answer = runtime.admin("GET", "/v1/decisions")
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "unavailable")
    assert int(answer.headers["Retry-After"]) > 0
    page = browser.get("/decisions")
    assert page.status_code == 200
    assert "CrowdSec cannot be reached" in page.text
    assert "answered 500" in page.text
    assert browser.post("/decisions", {"do": "add", "value": VALUE, "duration": "1h", "reason": "x"}).status_code == 503

    lapi.answers.clear()
    give_credentials(runtime, password="not the one any more", key="nor this")
    page = browser.get("/decisions")
    assert "credentials are stale" in page.text
    assert "argos crowdsec credentials" in page.text
    checks = {one["name"]: one for one in runtime.admin("GET", "/v1/health").json()["checks"]}
    assert checks["CrowdSec credentials"]["state"] == "failed"
    assert "--tags crowdsec" in checks["CrowdSec credentials"]["advice"]
    give_credentials(runtime)
    checks = {one["name"]: one for one in runtime.admin("GET", "/v1/health").json()["checks"]}
    assert checks["CrowdSec credentials"]["state"] == "ok"


def test_a_change_that_failed_stands_in_the_record_as_tried_and_failed(runtime: Runtime, lapi: HostileLapi) -> None:
    lapi.answers["/v1/alerts"] = saying(500, b"{}")
    answer = runtime.admin("PUT", "/v1/decisions", {"value": VALUE})
    assert answer.status_code == 503
    rows = runtime.rows("SELECT action, after FROM audit ORDER BY id DESC LIMIT 2")
    assert [row[0] for row in rows] == ["decision.add.failed", "decision.add"]
    assert "answered 500" in rows[0][1]
    lapi.answers["/v1/alerts"] = saying(400, b'{"message": "no\\nsuch \\u001b[1mscope"}')
    answer = runtime.admin("PUT", "/v1/decisions", {"value": VALUE})
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "refused")
    assert "no?such ?[1mscope" in answer.json()["error"]["message"]


def test_a_lapi_that_takes_a_decision_and_hides_it_is_not_believed(runtime: Runtime, lapi: HostileLapi) -> None:
    lapi.answers["/v1/alerts"] = saying(201, b'["1"]')
    answer = runtime.admin("PUT", "/v1/decisions", {"value": VALUE})
    assert answer.status_code == 503
    assert "does not list it" in answer.json()["error"]["message"]
