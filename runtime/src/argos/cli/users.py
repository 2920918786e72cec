"""`argos user …`."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from argos.cli.exits import NOT_FOUND, OK, Stop

if TYPE_CHECKING:
    from argos.accounts.model import User

_PASSWORD_LIMIT = 1024


def list_all(options: argparse.Namespace) -> int:
    """Print every account."""
    from argos.api.users import shown
    from argos.cli.session import print_json, services

    with services() as here:
        people = here.application.accounts.list()
    if options.json:
        print_json({"users": [shown(user) for user in people]})
        return OK
    for user in people:
        notes = [
            word
            for word, true in (("disabled", user.disabled), ("must change password", user.must_change_password))
            if true
        ]
        print(f"{user.username:<24} {user.role:<7} {user.email or '-':<32} {', '.join(notes)}".rstrip())
    return OK


def create(options: argparse.Namespace) -> int:
    """Make an account."""
    from argos.cli.session import read_secret, services

    password = read_secret(options.password_stdin, "Password", _PASSWORD_LIMIT)
    with services() as here:
        user = here.application.accounts.create(
            here.actor,
            options.username,
            options.role,
            password,
            name=options.name,
            email=options.email,
            must_change_password=not options.keep_password,
        )
    return _done(options, user, "made")


def first_admin(options: argparse.Namespace) -> int:
    """Make the first administrator; refused for ever after."""
    from argos.cli.session import read_secret, services

    password = read_secret(options.password_stdin, "Password", _PASSWORD_LIMIT)
    with services() as here:
        user = here.application.accounts.first_admin(here.actor, options.username, password)
    return _done(options, user, "made; the password is changed at the first sign-in")


def reset_password(options: argparse.Namespace) -> int:
    """Set another password."""
    from argos.cli.session import read_secret, services

    password = read_secret(options.password_stdin, "New password", _PASSWORD_LIMIT)
    with services() as here:
        user = here.application.accounts.reset_password(here.actor, options.username, password)
    return _done(options, user, "has another password, to be changed at the next sign-in; all sign-ins ended")


def disable(options: argparse.Namespace) -> int:
    """Close an account."""
    return _set_disabled(options, disabled=True)


def enable(options: argparse.Namespace) -> int:
    """Open an account again."""
    return _set_disabled(options, disabled=False)


def _set_disabled(options: argparse.Namespace, *, disabled: bool) -> int:
    from argos.cli.session import services

    with services() as here:
        user = here.application.accounts.set_disabled(here.actor, options.username, disabled)
    return _done(options, user, "is disabled; all sign-ins ended" if disabled else "may sign in again")


def delete(options: argparse.Namespace) -> int:
    """Remove an account."""
    from argos.cli.session import print_json, services

    with services() as here:
        there = here.application.accounts.delete(here.actor, options.username)
    if not there:
        raise Stop(NOT_FOUND, f"user/{options.username[:64]}: there is no such user")
    if options.json:
        print_json({"changed": True})
    else:
        print(f"{options.username}: removed; all sign-ins ended")
    return OK


def _done(options: argparse.Namespace, user: User, text: str) -> int:
    from argos.api.users import shown
    from argos.cli.session import print_json

    if options.json:
        print_json({"changed": True, "user": shown(user)})
    else:
        print(f"{user.username}: {text}")
    return OK
