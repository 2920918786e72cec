"""`argos user …`."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from argos.cli.exits import NOT_FOUND, OK, Stop

if TYPE_CHECKING:
    from argos.accounts.model import User
    from argos.accounts.people import Wanted

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
        groups = ",".join(user.groups) or "-"
        print(f"{user.username:<24} {user.role:<7} {user.email or '-':<32} {groups:<24} {', '.join(notes)}".rstrip())
    return OK


def create(options: argparse.Namespace) -> int:
    """Make an account, with a password or with a link to set one."""
    from argos.api.users import new_link, shown
    from argos.cli.session import print_json, read_secret, services

    password = None if options.link else read_secret(options.password_stdin, "Password", _PASSWORD_LIMIT)
    with services() as here:
        user = here.application.accounts.create(
            here.actor,
            options.username,
            options.role,
            password,
            name=options.name,
            email=options.email,
            email_verified=True,
            groups=options.group,
            must_change_password=password is not None and not options.keep_password,
        )
        link = new_link(here.application, here.actor, user.username) if options.link else {}
    if options.json:
        print_json({"changed": True, "user": shown(user), **link})
        return OK
    print(f"{user.username}: made")
    _print_link(link)
    return OK


def set_role(options: argparse.Namespace) -> int:
    """Give a role."""
    from argos.accounts.people import Wanted

    return _put(options, Wanted(role=options.role), f"is {options.role}")


def set_groups(options: argparse.Namespace) -> int:
    """Put a person into these groups and no others."""
    from argos.accounts.people import Wanted

    return _put(options, Wanted(groups=tuple(options.groups)), f"is in {', '.join(options.groups) or 'no group'}")


def _put(options: argparse.Namespace, wanted: Wanted, text: str) -> int:
    from argos.api.users import told
    from argos.cli.session import print_json, services

    with services() as here:
        username = here.application.accounts.get(options.username).username  # this command makes nobody
        change = here.application.people.put(here.actor, username, wanted)
    if options.json:
        print_json(told(change))
    else:
        print(f"{username}: {text}" + ("; all sign-ins ended" if change.changed else " already"))
    return OK


def _print_link(link: dict[str, object]) -> None:
    if link:
        print(f"Once, within 24 hours, this sets the password:\n{link['link']}")


def first_admin(options: argparse.Namespace) -> int:
    """Make the first administrator; refused for ever after."""
    from argos.cli.session import read_secret, services

    password = read_secret(options.password_stdin, "Password", _PASSWORD_LIMIT)
    with services() as here:
        user = here.application.accounts.first_admin(here.actor, options.username, password)
    return _done(options, user, "made; the password is changed at the first sign-in")


def reset_password(options: argparse.Namespace) -> int:
    """Set another password, or make a link by which the person sets one."""
    from argos.api.users import new_link
    from argos.cli.session import print_json, read_secret, services

    if options.link:
        with services() as here:
            link = new_link(here.application, here.actor, options.username)
        if options.json:
            print_json({"changed": True, **link})
        else:
            _print_link(link)
        return OK
    password = read_secret(options.password_stdin, "New password", _PASSWORD_LIMIT)
    with services() as here:
        user = here.application.accounts.reset_password(here.actor, options.username, password)
    return _done(options, user, "has another password, to be changed at the next sign-in; all sign-ins ended")


def disable_2fa(options: argparse.Namespace) -> int:
    """Remove somebody's second factor, and end their sign-ins."""
    from argos.cli.session import print_json, services

    with services() as here:
        there = here.application.second_factors.disable(here.actor, options.username)
    if options.json:
        print_json({"changed": there})
    else:
        done = "the second factor is off; all sign-ins ended" if there else "had no second factor"
        print(f"{options.username}: {done}")
    return OK


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
