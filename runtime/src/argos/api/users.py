"""`…/users`."""

from __future__ import annotations

from typing import Literal

import falcon
import msgspec

from argos.accounts.model import User
from argos.api import bodies
from argos.api.access import Needs, visit_of
from argos.application import Application
from argos.errors import NotFound


class NewUser(msgspec.Struct, forbid_unknown_fields=True):
    """The body of ``POST …/users``; without a password the account cannot sign in here."""

    username: str
    password: str | None = None
    name: str = ""
    email: str = ""
    role: Literal["admin", "member"] = "member"
    must_change_password: bool = True


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
        bodies.write(resp, {"users": [shown(user) for user in self._application.accounts.list()]})

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
            must_change_password=body.must_change_password,
        )
        bodies.write(resp, shown(user), status=falcon.HTTP_201)


class OneUser:
    """``GET`` and ``DELETE …/users/{username}``."""

    needs = Needs.ADMIN

    def __init__(self, application: Application) -> None:
        self._application = application

    def on_get(self, _req: falcon.Request, resp: falcon.Response, username: str) -> None:
        """One account."""
        bodies.write(resp, shown(self._application.accounts.get(username)))

    def on_delete(self, req: falcon.Request, resp: falcon.Response, username: str) -> None:
        """Remove it and end its sign-ins."""
        if not self._application.accounts.delete(visit_of(req).actor, username):
            raise NotFound(f"user/{username[:64]}: there is no such user")
        bodies.write(resp, {"changed": True})


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
        bodies.write(resp, shown(user))


def shown(user: User) -> dict[str, object]:
    """An account as the API and the CLI show it."""
    plain: dict[str, object] = msgspec.to_builtins(user)
    return plain
