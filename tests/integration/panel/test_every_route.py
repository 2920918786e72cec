"""A walk over all routes of the router, over HTTP and in both modes: who is not enough is denied everywhere."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from argos.api.access import Needs
from panel_runtime import Browser, Runtime

sys.path.insert(0, str(Path(__file__).parents[3] / "runtime/tests/panel"))

from route_walk import Step, every_step

WHO = {
    None: None,
    "half-way": Needs.SECOND_FACTOR,
    "newcomer": Needs.PASSWORD_CHANGE,
    "alice": Needs.MEMBER,
    "root-admin": Needs.ADMIN,
}
BODY = {"Content-Type": "application/json"}


@pytest.fixture(scope="module")
def steps(tmp_path_factory: pytest.TempPathFactory) -> list[Step]:
    return every_step(tmp_path_factory.mktemp("router"))


@pytest.fixture(scope="module")
def runtime_with_people(runtime: Runtime) -> Runtime:
    """The runtime with somebody at each half-way page."""
    runtime.person("newcomer", "admin", must_change=True)
    runtime.person("half-way", "admin")
    runtime.write(
        "INSERT INTO totp (user_id, secret, confirmed_at, last_step, created_at)"
        " SELECT id, x'00', 1, 0, 1 FROM users WHERE username = 'half-way'"
    )
    return runtime


@pytest.fixture
def browser(runtime_with_people: Runtime, request: pytest.FixtureRequest) -> Iterator[Browser]:
    """A browser in which the test's ``who`` has signed in as far as they come."""
    who = request.node.callspec.params["who"]
    made = Browser(runtime_with_people)
    if who is not None:
        assert made.sign_in(who).status_code == 303
    yield made
    made.post("/logout")


def audited(runtime: Runtime) -> int:
    return int(runtime.rows("SELECT count(*) FROM audit")[0][0])


@pytest.mark.threat("AUT-1")
@pytest.mark.parametrize("who", WHO, ids=str)
def test_each_route_is_denied_below_what_it_needs(
    runtime_with_people: Runtime, browser: Browser, steps: list[Step], who: str | None
) -> None:
    level, denied, before = WHO[who], 0, audited(runtime_with_people)
    for step in steps:
        if step.admits(level) and not step.reads:
            continue  # one who may change something would; tests of each form do
        headers = {**BODY, "Origin": browser.origin}
        answer = browser.send(step.method, step.target, headers=headers, content=b"{}")
        location = answer.headers.get("Location", "")
        if step.admits(level):
            step.assert_admitted(answer.status_code, location)
            continue
        denied += 1
        step.assert_denied(level, answer.status_code, location)
        assert "set-cookie" not in answer.headers, step
    assert audited(runtime_with_people) == before, "a denied request changed something"
    assert denied >= {"alice": 55, "root-admin": 0}.get(who or "", 70)


@pytest.mark.threat("AUT-3")
@pytest.mark.parametrize("who", ["root-admin"])
@pytest.mark.parametrize(
    "foreign",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "https://photos.home.example", "Sec_Fetch_Site": "same-site"},
        {"Origin": "null"},
        {"Origin": None},
        {"Origin": None, "Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "none"},
    ],
    ids=str,
)
def test_no_change_is_taken_from_another_page(
    runtime_with_people: Runtime, browser: Browser, steps: list[Step], who: str, foreign: dict[str, str | None]
) -> None:
    """As a signed-in administrator's browser is made to send it, and as somebody's who signs in."""
    changes, before, held = (
        [step for step in steps if not step.reads],
        audited(runtime_with_people),
        dict(browser.cookies),
    )
    assert len(changes) >= 40
    for step in changes:
        kind = BODY if step.is_api else {"Content-Type": "application/x-www-form-urlencoded"}
        headers = {"Origin": browser.origin, **kind, **foreign}
        answer = browser.send(step.method, step.target, headers=headers, content=b"{}" if step.is_api else b"do=save")
        assert answer.status_code == 403, (step, answer.status_code)
        assert "was not sent from" in answer.text, (step, answer.text)
        assert "set-cookie" not in answer.headers, step
    assert audited(runtime_with_people) == before
    assert browser.cookies == held
    assert browser.get("/hosts").status_code == 200, "still signed in"
