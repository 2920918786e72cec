"""The second factor through the real edge: half signed in opens nothing, and of many posts of one code one is taken."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from lab.admin_api import Declaration
from lab.authenticator import became_full, early_in_a_step, set_up, sign_in_half_way
from lab.namespace import PublicNetwork
from lab.people import Panel, People, Person
from lab.visitor import NAVIGATION, Visitor

AT_ONCE = 50


@pytest.fixture
def person(people: People) -> Person:
    return people.create("e2e-factor", must_change=False)


def cookies_of(client: Visitor) -> dict[str, str]:
    return {"Cookie": "; ".join(f"{name}={value}" for name, value in client.http.cookies.items())}


@pytest.mark.threat("LOG-4")
@pytest.mark.parametrize("kind", ["totp", "recovery"])
@pytest.mark.parametrize("sign_ins", [1, 5])
def test_of_fifty_concurrent_posts_of_one_code_exactly_one_succeeds(
    new_visitor: Callable[..., Visitor],
    network: PublicNetwork,
    panel: Panel,
    declaration: Declaration,
    person: Person,
    kind: str,
    sign_ins: int,
) -> None:
    app = set_up(panel, new_visitor(), person)
    held = []
    for _unused in range(sign_ins):
        half = new_visitor()
        sign_in_half_way(panel, half, person)
        held.append(cookies_of(half))
    racer = new_visitor(network.burnt_address())  # 49 refusals in a moment: bans are another test's
    early_in_a_step()
    code = app.code() if kind == "totp" else app.recovery_codes[3]
    own = {**NAVIGATION, "Origin": panel.url, "Sec-Fetch-Site": "same-origin"}

    def post(number: int) -> tuple[bool, int]:
        headers = {**own, **held[number % sign_ins]}
        answer = racer.post(f"{panel.url}/second-factor", data={"code": code, "rd": "/"}, headers=headers)
        return became_full(answer), answer.status_code

    with ThreadPoolExecutor(AT_ONCE) as pool:
        answers = list(pool.map(post, range(AT_ONCE)))
    assert sum(taken for taken, _status in answers) == 1, Counter(answers)
    # And what it gave opens a host; what the others still hold does not.
    host = f"https://{declaration.name('e2e-guarded')}/"
    assert racer.get(host).status_code == 200
    assert {new_visitor().get(host, headers=cookies).status_code for cookies in held} == {401}


@pytest.mark.threat("LOG-4")
def test_half_signed_in_opens_no_host_and_no_page_of_the_panel(
    visitor: Visitor, new_visitor: Callable[..., Visitor], panel: Panel, declaration: Declaration, person: Person
) -> None:
    app = set_up(panel, new_visitor(), person)
    host = f"https://{declaration.name('e2e-guarded')}/inbox"
    sign_in_half_way(panel, visitor, person, rd=host)
    before = dict(visitor.http.cookies)
    assert "__Secure-argos_session" in before, "there is a session, and it is not enough"
    assert visitor.get(host).status_code == 401
    assert visitor.navigate(host).headers["Location"].startswith(f"{panel.url}/login?rd=")
    for path in ("/", "/profile", "/password", "/confirm", "/hosts"):
        answer = visitor.navigate(panel.url + path)
        assert (answer.status_code, answer.headers["Location"].partition("?")[0]) == (303, "/second-factor"), path
    assert panel.post(visitor, "/profile/sessions", {"session": "others"}).status_code == 403
    assert panel.post(visitor, "/profile/second-factor", {"action": "off"}).status_code == 403
    assert visitor.get(f"{panel.url}/api/v1/users").status_code == 403

    answer = panel.post(visitor, "/second-factor", {"code": app.code(), "rd": host})
    assert became_full(answer), answer.status_code
    assert visitor.get(host).status_code == 200
    old = {"Cookie": "; ".join(f"{name}={value}" for name, value in before.items())}
    assert new_visitor().get(host, headers=old).status_code == 401, "a rise of privilege makes new tokens"


@pytest.mark.threat("LOG-4")
def test_wrong_codes_lock_out_and_another_address_goes_on(
    new_visitor: Callable[..., Visitor], network: PublicNetwork, panel: Panel, person: Person
) -> None:
    app = set_up(panel, new_visitor(), person)
    guesser, owner = new_visitor(network.burnt_address()), new_visitor()
    sign_in_half_way(panel, guesser, person)
    for _unused in range(5):
        assert panel.post(guesser, "/second-factor", {"code": "12345", "rd": "/"}).status_code == 401
    refused = panel.post(guesser, "/second-factor", {"code": app.code(), "rd": "/"})
    assert refused.status_code == 429
    assert 800 < int(refused.headers["Retry-After"]) <= 900
    assert "15 minutes" in refused.text
    sign_in_half_way(panel, owner, person)
    assert became_full(panel.post(owner, "/second-factor", {"code": app.code(), "rd": "/"}))
