"""``/people`` and one person's page: accounts, for an administrator."""

from __future__ import annotations

import re
from urllib.parse import quote

import falcon

from argos.accounts.model import User
from argos.accounts.people import Wanted
from argos.api.access import Needs, Visit
from argos.api.users import new_link
from argos.application import Application
from argos.errors import ArgosError, Conflict, Invalid
from argos.panel import forms, pages
from argos.panel.access import Door
from argos.panel.errors import status_of
from argos.panel.moments import Moment
from argos.panel.problems import Problems

_SEPARATORS = re.compile(r"[\s,]+")
_PLACES = {
    "username": ("username", "The username"),
    "name": ("name", "The name"),
    "email": ("email", "The e-mail"),
    "groups": ("groups", "The groups"),
}


class PeopleList:
    """``/people``: everybody, and the form for one more."""

    needs = Needs.ADMIN

    def __init__(self, application: Application) -> None:
        self._application = application

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Show everybody."""
        removed = (req.get_param("removed") or "")[:64]
        gone = removed and all(user.username != removed for user in self._application.accounts.list())
        self._show(resp, Door.of(req).visit, {}, done=f"The account {removed} has been removed." if gone else "")

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
            self._show(resp, visit, form, problems=Problems.of(error, _PLACES), status=status_of(resp, error))
            return
        show_person(resp, self._application, visit, user, done="The account has been created.", link=str(link))

    def _show(
        self,
        resp: falcon.Response,
        visit: Visit,
        form: dict[str, str],
        *,
        done: str = "",
        problems: Problems | None = None,
        status: str = falcon.HTTP_200,
    ) -> None:
        pages.render(
            resp,
            "people.html",
            status=status,
            person=visit.person,
            here="/people",
            people=self._application.accounts.list(),
            holders=self._application.second_factors.holders(),
            form={name: form.get(name, "") for name in ("username", "name", "email", "role", "groups")},
            done=done,
            problems=problems or Problems(),
        )


class OnePerson:
    """``/people/{username}``: one account, and what can be done to it."""

    needs = Needs.ADMIN

    def __init__(self, application: Application) -> None:
        self._application = application

    def on_get(self, req: falcon.Request, resp: falcon.Response, username: str) -> None:
        """Show it."""
        show_person(resp, self._application, Door.of(req).visit, self._application.accounts.get(username))

    def on_post(self, req: falcon.Request, resp: falcon.Response, username: str) -> None:
        """Do what the form's ``do`` says: save, link, reset, sign_out, no_second_factor, disable, enable, delete."""
        visit = Door.of(req).visit
        form = forms.read(req)
        user = self._application.accounts.get(username)
        try:
            done, link = self._do(visit, user, form)
        except (Invalid, Conflict) as error:
            user = self._application.accounts.get(username)
            typed = form if form.get("do") == "save" else None
            found = Problems.of(error, _PLACES)
            status = status_of(resp, error)
            show_person(resp, self._application, visit, user, typed=typed, problems=found, status=status)
            return
        if done is None:
            resp.status = falcon.HTTP_303
            resp.location = f"/people?removed={quote(user.username, safe='')}"
            return
        show_person(resp, self._application, visit, self._application.accounts.get(username), done=done, link=link)

    def _do(self, visit: Visit, user: User, form: dict[str, str]) -> tuple[str | None, str]:
        """Return what was done, in words (None: there is no person left to show), and a new link."""
        people = self._application.people
        match form.get("do", ""):
            case "save":
                changed = people.put(visit.actor, user.username, _wanted(form), create=False).changed
                return ("Saved." if changed else "Nothing to change."), ""
            case "disable" | "enable" as word:
                people.put(visit.actor, user.username, Wanted(disabled=word == "disable"), create=False)
                return ("The account is disabled." if word == "disable" else "The account is enabled again."), ""
            case "link":
                link = new_link(self._application, visit.actor, user.username)["link"]
                return "Link created. Earlier links no longer work.", str(link)
            case "reset" | "sign_out" | "no_second_factor" as word:
                return self._take_back(visit, user, word)
            case "delete" if form.get("sure") == user.username:
                people.remove(visit.actor, user.username)
                return None, ""
            case "delete":
                raise Conflict("To remove the account, type its user name into the field above the button")
            case _:
                raise falcon.HTTPBadRequest(
                    title=forms.UNREADABLE, description="The form does not say what to do. Reload the page."
                )

    def _take_back(self, visit: Visit, user: User, word: str) -> tuple[str, str]:
        """Take an account out of a stranger's hands, or help who has lost the phone; return as :meth:`_do`."""
        name = user.username
        if word == "no_second_factor":
            wanted = Wanted(second_factor="disabled")
            changed = self._application.people.put(visit.actor, name, wanted, create=False).changed
            done = f"The second factor is off, and {name} is signed out everywhere."
            return (done if changed else "There was no second factor to turn off."), ""
        if visit.person is not None and visit.person.username == name:
            raise Conflict("This is your own account: change your password and sign out your devices in your profile")
        if word == "reset":
            link = self._application.welcome_url(self._application.links.reset(visit.actor, name))
            return f"The old password no longer works, and {name} is signed out everywhere.", link
        ended = self._application.sessions.revoke_user(visit.actor, user.id)
        return (f"{name} is signed out everywhere." if ended else "There were no sign-ins to end."), ""


def _wanted(form: dict[str, str]) -> Wanted:
    """What a person's form asks for.

    APPSEC: an e-mail that an administrator declares counts as verified, so one that the form only carried along,
    as a provider once sent it, is not declared. ``email_was`` is what the form began with.
    """
    email = form.get("email", "").strip()
    means_email = email != form.get("email_was", "").strip() or bool(form.get("email_checked"))
    return Wanted(
        name=form.get("name", "").strip(),
        email=email if means_email else None,
        role="admin" if form.get("role") == "admin" else "member",
        groups=groups_in(form.get("groups", "")),
    )


def groups_in(text: str) -> tuple[str, ...]:
    """The names in a field of groups, separated by spaces or commas."""
    return tuple(name for name in _SEPARATORS.split(text) if name)


def problem_text(error: ArgosError) -> str:
    """An error in a form's words."""
    if isinstance(error, Invalid):
        return "; ".join(f"{one.field} {one.problem}: {one.expected}" for one in error.errors) + "."
    return f"{error.message}."


def show_person(
    resp: falcon.Response,
    application: Application,
    visit: Visit,
    user: User,
    *,
    done: str = "",
    link: str = "",
    typed: dict[str, str] | None = None,
    problems: Problems | None = None,
    status: str = falcon.HTTP_200,
) -> None:
    """Answer with one person's page; ``link`` is shown this once, ``typed`` is a form that was refused."""
    now = application.clock.now()
    stored = {
        "name": user.name,
        "email": user.email,
        "email_was": user.email,
        "email_checked": "",
        "groups": ", ".join(user.groups),
        "role": user.role,
    }
    pages.render(
        resp,
        "person.html",
        status=status,
        person=visit.person,
        here="/people",
        user=user,
        form={name: (typed or stored).get(name, "") for name in stored},
        since=Moment.of(user.created_at, now),
        second_factor=application.second_factors.is_enabled(user.id),
        sign_ins=len(application.sessions.list_for(user.id)),
        own=visit.person is not None and visit.person.username == user.username,
        done=done,
        link=link,
        problems=problems or Problems(),
    )
