"""`…/users`."""

from __future__ import annotations

from typing import Literal

import falcon
import msgspec

from argos.accounts.model import User
from argos.accounts.people import Change, Wanted
from argos.accounts.records import LINK_LIFETIME
from argos.api import bodies
from argos.api.access import Needs, visit_of
from argos.application import Application
from argos.audit import Actor
from argos.errors import NotFound


class NewUser(msgspec.Struct, forbid_unknown_fields=True):
    """The body of ``POST …/users``; with ``link`` the answer holds a one-time link to set the first password."""

    username: str
    password: str | None = None
    name: str = ""
    email: str = ""
    role: Literal["admin", "member"] = "member"
    groups: tuple[str, ...] = ()
    must_change_password: bool = True
    link: bool = False


class NewPassword(msgspec.Struct, forbid_unknown_fields=True):
    """The body of ``POST …/users/{username}/password``."""

    password: str
    must_change_password: bool = True


class UserList:
    """``GET`` and ``POST …/users``."""

    needs = Needs.ADMIN

    def __init__(self, application: Application) -> None:
        self._application = application

    def on_get(self, _req: falcon.Request, resp: falcon.Response) -> None:
        """Everybody, without anything secret."""
        bodies.write(resp, {"users": everybody(self._application)})

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Make an account."""
        body = bodies.read(req, NewUser, "user")
        user = self._application.accounts.create(
            visit_of(req).actor,
            body.username,
            body.role,
            body.password,
            name=body.name,
            email=body.email,
            email_verified=True,
            groups=body.groups,
            must_change_password=body.must_change_password and body.password is not None,
        )
        answer = shown(self._application, user)
        if body.link:
            answer |= new_link(self._application, visit_of(req).actor, user.username)
        bodies.write(resp, answer, status=falcon.HTTP_201)


class OneUser:
    """``GET``, ``PUT`` and ``DELETE …/users/{username}``."""

    needs = Needs.ADMIN

    def __init__(self, application: Application) -> None:
        self._application = application

    def on_get(self, _req: falcon.Request, resp: falcon.Response, username: str) -> None:
        """One account."""
        bodies.write(resp, shown(self._application, self._application.accounts.get(username)))

    def on_put(self, req: falcon.Request, resp: falcon.Response, username: str) -> None:
        """Make the account what the body says, or with ``?check=true`` only tell what would change."""
        body = bodies.read(req, Wanted, f"user/{username[:64]}")
        check = bool(req.get_param_as_bool("check"))
        change = self._application.people.put(visit_of(req).actor, username, body, check=check)
        answer = told(change)
        if change.link_token is not None:
            answer |= link_of(self._application, change.link_token)
        bodies.write(resp, answer)

    def on_delete(self, req: falcon.Request, resp: falcon.Response, username: str) -> None:
        """Remove it and end its sign-ins, or with ``?check=true`` only tell that."""
        check = bool(req.get_param_as_bool("check"))
        change = self._application.people.remove(visit_of(req).actor, username, check=check)
        if not change.changed:
            raise NotFound(f"user/{username[:64]}: there is no such user")
        bodies.write(resp, told(change))


class UserPassword:
    """``POST …/users/{username}/password``."""

    needs = Needs.ADMIN

    def __init__(self, application: Application) -> None:
        self._application = application

    def on_post(self, req: falcon.Request, resp: falcon.Response, username: str) -> None:
        """Set another password; the account's sign-ins end."""
        body = bodies.read(req, NewPassword, f"user/{username[:64]}")
        user = self._application.accounts.reset_password(
            visit_of(req).actor, username, body.password, must_change_password=body.must_change_password
        )
        bodies.write(resp, shown(self._application, user))


class UserLink:
    """``POST …/users/{username}/link``."""

    needs = Needs.ADMIN

    def __init__(self, application: Application) -> None:
        self._application = application

    def on_post(self, req: falcon.Request, resp: falcon.Response, username: str) -> None:
        """Make a one-time link by which the person sets a password; an earlier one is void."""
        bodies.write(resp, new_link(self._application, visit_of(req).actor, username), status=falcon.HTTP_201)


class UserSecondFactor:
    """``DELETE …/users/{username}/second-factor``."""

    needs = Needs.ADMIN

    def __init__(self, application: Application) -> None:
        self._application = application

    def on_delete(self, req: falcon.Request, resp: falcon.Response, username: str) -> None:
        """Remove the second factor of who has lost it, and end their sign-ins; ``?check=true`` only tells that."""
        check = bool(req.get_param_as_bool("check"))
        wanted = Wanted(second_factor="disabled")
        change = self._application.people.put(visit_of(req).actor, username, wanted, check=check, create=False)
        bodies.write(resp, told(change))


_INWARD = frozenset({"credential"})


def new_link(application: Application, actor: Actor, username: str) -> dict[str, object]:
    """Make a link and return its address and for how many seconds it is good."""
    return link_of(application, application.links.issue(actor, username))


def link_of(application: Application, token: str) -> dict[str, object]:
    """A link as it is handed over, this once."""
    return {"link": application.welcome_url(token), "link_seconds": LINK_LIFETIME}


def told(change: Change) -> dict[str, object]:
    """A change as the API shows it."""
    return {"changed": change.changed, "before": change.before, "after": change.after}


def everybody(application: Application) -> list[dict[str, object]]:
    """All accounts as the API and the CLI show them."""
    holders = application.second_factors.holders()
    return [_shown(user, second_factor=user.id in holders) for user in application.accounts.list()]


def shown(application: Application, user: User) -> dict[str, object]:
    """An account as the API and the CLI show it."""
    return _shown(user, second_factor=application.second_factors.is_enabled(user.id))


def _shown(user: User, *, second_factor: bool) -> dict[str, object]:
    plain: dict[str, object] = msgspec.to_builtins(user)
    return {name: value for name, value in plain.items() if name not in _INWARD} | {"has_second_factor": second_factor}
