"""A person's authenticator app, and its setup through the panel's pages."""

from __future__ import annotations

import html
import re
import time
from dataclasses import dataclass

import httpx
import pyotp

from lab.people import Panel, Person
from lab.visitor import Visitor


@dataclass(frozen=True)
class Authenticator:
    """The secret that an app holds, and the recovery codes that came with it."""

    secret: str
    recovery_codes: tuple[str, ...]

    def code(self, steps: int = 0) -> str:
        """Return what the app shows now, or so many steps of 30 s later."""
        return pyotp.TOTP(self.secret).at(int(time.time()) + 30 * steps)


def set_up(panel: Panel, visitor: Visitor, person: Person) -> Authenticator:
    """Sign in, and set a second factor up; the code of the present step stays unused."""
    panel.sign_in(visitor, person)
    page = panel.post(visitor, "/profile/second-factor", {"action": "begin"})
    secret = re.search(r"secret: <code>([A-Z2-7]{32})</code>", page.text)
    assert secret, (page.status_code, page.text)
    done = _confirm(panel, visitor, Authenticator(secret[1], ()))
    assert done.status_code == 200, (done.status_code, done.text)
    codes = re.findall(r"\b[0-9a-z]{4}-[0-9a-z]{4}\b", html.unescape(done.text.partition('class="codes"')[2]))
    assert len(codes) == 10, codes
    return Authenticator(secret[1], tuple(codes))


def _confirm(panel: Panel, visitor: Visitor, app: Authenticator) -> httpx.Response:
    """Send the code of the step before, until one was looked at within its time: a busy panel may be too late."""
    while True:
        early_in_a_step()
        step = int(time.time()) // 30
        answer = panel.post(visitor, "/profile/second-factor", {"action": "confirm", "code": app.code(-1)})
        if answer.status_code == 200 or int(time.time()) // 30 == step:
            return answer


def sign_in_half_way(panel: Panel, visitor: Visitor, person: Person, rd: str = "") -> None:
    """Give name and password, and no code yet."""
    assert panel.submit(visitor, person, rd).status_code == 303
    leads = visitor.navigate(f"{panel.url}/").headers["Location"]
    assert leads.startswith("/second-factor?rd="), leads


def early_in_a_step() -> None:
    """Wait, where need be, until the present code has 10 s before it: one of the step before is good as long."""
    if (left := 30 - time.time() % 30) < 10:
        time.sleep(left)


def became_full(answer: httpx.Response) -> bool:
    """Tell whether a code was taken: the browser is led on, with new cookies."""
    onward = answer.status_code == 303 and answer.headers["Location"].startswith("/continue")
    return onward and "set-cookie" in answer.headers
