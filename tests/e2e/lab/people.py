"""People who sign in: made through the admin API, signed in through the panel's own forms."""

from __future__ import annotations

import json
import re
import secrets
from dataclasses import dataclass
from html import unescape
from urllib.parse import urljoin

import httpx

from lab.admin_api import AdminApi, Declaration
from lab.guest import Guest
from lab.visitor import NAVIGATION, Visitor


@dataclass
class Person:
    """A username and its password."""

    username: str
    password: str


class Panel:
    """The panel's forms, filled in as a browser fills them in."""

    def __init__(self, declaration: Declaration) -> None:
        self.host = declaration.panel
        self.url = f"https://{declaration.panel}"

    def post(self, visitor: Visitor, path: str, fields: dict[str, str]) -> httpx.Response:
        """Send a form of the panel's own page."""
        same_origin = {**NAVIGATION, "Origin": self.url, "Sec-Fetch-Site": "same-origin"}
        return visitor.post(self.url + path, data=fields, headers=same_origin)

    def submit(self, visitor: Visitor, person: Person, rd: str = "") -> httpx.Response:
        """Send the sign-in form and return its answer."""
        page = visitor.navigate(f"{self.url}/login", params={"rd": rd} if rd else {})
        assert page.status_code == 200, f"the sign-in page answered {page.status_code}"
        fields = {**hidden_fields(page.text), "username": person.username, "password": person.password}
        return self.post(visitor, "/login", fields)

    def sign_in(self, visitor: Visitor, person: Person, rd: str = "") -> httpx.Response:
        """Sign in and return the page to which the browser comes; fail when the panel refuses."""
        answer = self.submit(visitor, person, rd)
        assert answer.status_code in (302, 303), f"sign-in of {person.username}: {answer.status_code}"
        assert not answer.headers["Location"].startswith("/login"), answer.headers["Location"]
        return visitor.navigate(
            urljoin(self.url, answer.headers["Location"]), headers={"Sec-Fetch-Site": "same-origin"}
        )

    def sign_out(self, visitor: Visitor) -> httpx.Response:
        """Sign out."""
        page = visitor.navigate(self.url + "/")
        answer = self.post(visitor, "/logout", hidden_fields(page.text))
        assert answer.status_code in (200, 302, 303), f"sign-out: {answer.status_code}"
        return answer

    def change_password(self, visitor: Visitor, person: Person, new: str) -> httpx.Response:
        """Send the change-password form, and note the new password when it was taken."""
        page = visitor.navigate(f"{self.url}/password")
        fields = {**hidden_fields(page.text), "current": person.password, "new": new, "again": new}
        answer = self.post(visitor, "/password", fields)
        if answer.status_code in (302, 303):
            person.password = new
        return answer


def hidden_fields(page: str) -> dict[str, str]:
    """Return the hidden inputs of a page's forms."""
    found: dict[str, str] = {}
    for tag in re.findall(r"<input[^>]*type=[\"']?hidden[^>]*>", page):
        name = re.search(r'name="([^"]*)"', tag)
        value = re.search(r'value="([^"]*)"', tag)
        if name:
            found[unescape(name[1])] = unescape(value[1]) if value else ""
    return found


class People:
    """Accounts that the suite makes and removes."""

    def __init__(self, api: AdminApi) -> None:
        self._api = api
        self._made: list[str] = []

    def create(self, username: str, role: str = "member", *, must_change: bool = True) -> Person:
        """Make an account, whose first password must be changed at first sign-in unless said otherwise."""
        self._api.request("DELETE", f"/v1/users/{username}")  # left by an interrupted run
        person = Person(username, new_password())
        body = {"username": username, "password": person.password, "email": f"{username}@e2e.example", "role": role}
        body |= {"must_change_password": must_change}
        answer = self._api.request("POST", "/v1/users", body)
        assert answer.status in (200, 201), f"creating {username}: {answer}"
        self._made.append(username)
        return person

    def expect(self, username: str) -> str:
        """Make sure that nobody of that name has an account, and that the one who comes by a provider is removed."""
        self._api.request("DELETE", f"/v1/users/{username}")
        self._made.append(username)
        return username

    def remove_all(self) -> None:
        """Remove every account the suite made."""
        for username in self._made:
            self._api.request("DELETE", f"/v1/users/{username}")


def new_password() -> str:
    """Return a password that no earlier run used."""
    return "e2e " + secrets.token_urlsafe(18)


def somebody_unknown() -> Person:
    """Return a name that no account has and no earlier run tried: failures are counted by account too."""
    return Person(f"e2e-unknown-{secrets.token_hex(4)}", "guess")


def first_admin(guest: Guest) -> Person:
    """Return the admin of the first run, with the password in force as far as the suite knows it."""
    remembered = guest.state / "e2e-admin.json"
    if remembered.exists():
        return Person(**json.loads(remembered.read_text()))
    return Person("admin", (guest.state / "admin-password").read_text().strip())


def remember_admin(guest: Guest, admin: Person) -> None:
    """Keep the admin's new password for the next run of the suite."""
    remembered = guest.state / "e2e-admin.json"
    remembered.touch(mode=0o600)
    remembered.write_text(json.dumps(vars(admin)))
