"""``/people`` and one person's page: accounts, for an administrator."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

import falcon

from argos.accounts.errors import LastAdmin
from argos.accounts.model import User
from argos.accounts.people import Wanted
from argos.api.access import Needs, Visit
from argos.api.users import new_link
from argos.application import Application
from argos.errors import ArgosError, Conflict, Invalid
from argos.panel import forms, pages
from argos.panel.access import Door

_SEPARATORS = re.compile(r"[\s,]+")


class PeopleList:
    """``/people``: everybody, and the form for one more."""

    needs = Needs.ADMIN

    def __init__(self, application: Application) -> None:
        self._application = application

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Show everybody."""
        self._show(resp, Door.of(req).visit, {})

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Make an account, and show once the link by which the person sets a password."""
        visit = Door.of(req).visit
        form = forms.read(req)
        try:
            user = self._application.accounts.create(
                visit.actor,
                form.get("username", "").strip(),
                "admin" if form.get("role") == "admin" else "member",
                name=form.get("name", "").strip(),
                email=form.get("email", "").strip(),
                email_verified=True,
                groups=groups_in(form.get("groups", "")),
            )
            link = new_link(self._application, visit.actor, user.username)["link"]
        except (Invalid, Conflict) as error:
            self._show(resp, visit, form, problem=problem_text(error), status=status_of(error))
            return
        show_person(resp, visit, user, done="The account is made.", link=str(link))

    def _show(
        self,
        resp: falcon.Response,
        visit: Visit,
        form: dict[str, str],
        *,
        problem: str = "",
        status: str = falcon.HTTP_200,
    ) -> None:
        pages.render(
            resp,
            "people.html",
            status=status,
            person=visit.person,
            here="/people",
            people=self._application.accounts.list(),
            form={name: form.get(name, "") for name in ("username", "name", "email", "role", "groups")},
            problem=problem,
        )


class OnePerson:
    """``/people/{username}``: one account, and what can be done to it."""

    needs = Needs.ADMIN

    def __init__(self, application: Application) -> None:
        self._application = application

    def on_get(self, req: falcon.Request, resp: falcon.Response, username: str) -> None:
        """Show it."""
        show_person(resp, Door.of(req).visit, self._application.accounts.get(username))

    def on_post(self, req: falcon.Request, resp: falcon.Response, username: str) -> None:
        """Do what the form's ``do`` says: save, link, disable, enable, delete."""
        visit = Door.of(req).visit
        form = forms.read(req)
        user = self._application.accounts.get(username)
        try:
            done, link = self._do(visit, user, form)
        except (Invalid, Conflict) as error:
            user = self._application.accounts.get(username)
            show_person(resp, visit, user, problem=problem_text(error), status=status_of(error))
            return
        if done is None:
            resp.status = falcon.HTTP_303
            resp.location = "/people"
            return
        show_person(resp, visit, self._application.accounts.get(username), done=done, link=link)

    def _do(self, visit: Visit, user: User, form: dict[str, str]) -> tuple[str | None, str]:
        """Return what was done, in words (None: there is no person left to show), and a new link."""
        people = self._application.people
        match form.get("do", ""):
            case "save":
                wanted = Wanted(
                    name=form.get("name", "").strip(),
                    email=form.get("email", "").strip(),
                    role="admin" if form.get("role") == "admin" else "member",
                    groups=groups_in(form.get("groups", "")),
                )
                changed = people.put(visit.actor, user.username, wanted).changed
                return ("Saved." if changed else "Nothing was changed."), ""
            case "disable" | "enable" as word:
                people.put(visit.actor, user.username, Wanted(disabled=word == "disable"))
                return ("The account is closed." if word == "disable" else "The account is open again."), ""
            case "link":
                link = new_link(self._application, visit.actor, user.username)["link"]
                return "A link is made; an earlier one is void.", str(link)
            case "delete" if form.get("sure") == user.username:
                people.remove(visit.actor, user.username)
                return None, ""
            case "delete":
                raise Conflict("To remove the account, type its user name into the field beside the button")
            case _:
                raise falcon.HTTPBadRequest(title="Not a form", description="The form does not say what to do.")


def groups_in(text: str) -> tuple[str, ...]:
    """The names in a field of groups, separated by spaces or commas."""
    return tuple(name for name in _SEPARATORS.split(text) if name)


def problem_text(error: ArgosError) -> str:
    """An error in a form's words."""
    if isinstance(error, Invalid):
        return "; ".join(f"{one.field} {one.problem}: {one.expected}" for one in error.errors) + "."
    return f"{error.message}."


def status_of(error: ArgosError) -> str:
    """The status of a page that shows an error."""
    return falcon.HTTP_409 if isinstance(error, Conflict | LastAdmin) else falcon.HTTP_400


def show_person(
    resp: falcon.Response,
    visit: Visit,
    user: User,
    *,
    done: str = "",
    link: str = "",
    problem: str = "",
    status: str = falcon.HTTP_200,
) -> None:
    """Answer with one person's page; ``link`` is shown this once."""
    values: dict[str, Any] = {
        "user": user,
        "groups": ", ".join(user.groups),
        "since": datetime.fromtimestamp(user.created_at, UTC).strftime("%Y-%m-%d"),
        "own": visit.person is not None and visit.person.username == user.username,
    }
    pages.render(
        resp,
        "person.html",
        status=status,
        person=visit.person,
        here="/people",
        done=done,
        link=link,
        problem=problem,
        **values,
    )
