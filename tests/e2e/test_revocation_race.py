"""Leaving races asking: once the answer to a sign-out is there, no request begun later passes, at full rate."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from lab.admin_api import AdminApi, Declaration
from lab.guest import Guest
from lab.people import Panel, People, Person, new_password
from lab.polling import until
from lab.siege import siege
from lab.visitor import Visitor

ENOUGH = 200  # requests before, and as many after
Leaving = Callable[[Person, Visitor, AdminApi, Panel], None]


def put(**fields: object) -> Leaving:
    def change(person: Person, _client: Visitor, api: AdminApi, _panel: Panel) -> None:
        assert api.request("PUT", f"/v1/users/{person.username}", fields).status == 200

    return change


def sign_out(_person: Person, client: Visitor, _api: AdminApi, panel: Panel) -> None:
    assert panel.sign_out(client).status_code == 303


def delete(person: Person, _client: Visitor, api: AdminApi, _panel: Panel) -> None:
    assert api.request("DELETE", f"/v1/users/{person.username}").status == 200


@pytest.mark.threat("LOG-5")
@pytest.mark.parametrize(
    "leave",
    [
        pytest.param(sign_out, id="sign-out"),
        pytest.param(put(disabled=True), id="disable"),
        pytest.param(delete, id="delete"),
        pytest.param(put(password=new_password()), id="password"),
        pytest.param(put(role="admin"), id="role"),
        pytest.param(put(groups=["family"]), id="groups"),
    ],
)
def test_no_request_begun_after_the_answer_passes(
    guest: Guest,
    visitor: Visitor,
    people: People,
    panel: Panel,
    api: AdminApi,
    declaration: Declaration,
    leave: Leaving,
) -> None:
    person = people.create("e2e-racer", must_change=False)
    panel.sign_in(visitor, person)
    host, cookie = declaration.name("e2e-guarded"), visitor.http.cookies["__Secure-argos_session"]
    with siege(guest, host, f"__Secure-argos_session={cookie}") as found:
        until("a load is there", lambda: found.begun_before(time.monotonic()).count(200) > ENOUGH, within=60)
        leave(person, visitor, api, panel)
        answered = time.monotonic()
        until("the load goes on", lambda: len(found.begun_after(answered)) > ENOUGH, within=60)
    before, after = found.begun_before(answered), found.begun_after(answered)
    assert before.count(200) > ENOUGH
    assert set(after) == {401}, f"{after.count(200)} of {len(after)} passed after the answer"
