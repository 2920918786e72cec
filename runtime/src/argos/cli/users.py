"""`argos user …`."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from argos.cli.command_line import Commands, add_command, add_group, add_json
from argos.cli.exits import NOT_FOUND, OK, Stop

if TYPE_CHECKING:
    from argos.accounts.people import Wanted

_PASSWORD_LIMIT = 1024


def add_to(commands: Commands) -> None:
    """Add this file's commands to the command line."""
    group = add_group(
        commands,
        "user",
        "people who can sign in",
        "sudo argos user create alice --email alice@home.example --group family --link\n"
        "  sudo argos user list\n"
        "  sudo argos user set-groups alice family photos\n"
        "  sudo argos user disable alice",
    )
    listing = add_command(group, "list", "list all accounts", "sudo argos user list --json", list_all)
    add_json(listing)
    creation = add_command(
        group,
        "create",
        "create an account",
        "sudo argos user create alice --email alice@home.example --group family --link\n"
        "  sudo argos user create bob --role admin --password-stdin < password",
        create,
    )
    _name_and_password(creation)
    _link(creation)
    creation.add_argument("--group", action="append", default=[], metavar="GROUP", help="a group; may be repeated")
    creation.add_argument("--name", default="", help="full name")
    creation.add_argument("--email", default="", help="e-mail address, sent to upstreams as X-Auth-Email")
    creation.add_argument("--role", choices=("member", "admin"), default="member", help="default: member")
    creation.add_argument("--keep-password", action="store_true", help="do not require a new password at first sign-in")
    first = add_command(
        group,
        "first-admin",
        "create the first administrator; works only once",
        "openssl rand -base64 18 | sudo argos user first-admin admin --password-stdin",
        first_admin,
    )
    _name_and_password(first)
    reset = add_command(
        group,
        "reset-password",
        "set a new password and end the account's sign-ins",
        "sudo argos user reset-password alice --password-stdin < password\n"
        "  sudo argos user reset-password alice --link",
        reset_password,
    )
    _name_and_password(reset)
    _link(reset)
    role = add_command(
        group,
        "set-role",
        "make somebody an administrator or a member, and end their sign-ins",
        "sudo argos user set-role alice admin",
        set_role,
    )
    role.add_argument("username")
    role.add_argument("role", choices=("member", "admin"))
    add_json(role)
    groups = add_command(
        group,
        "set-groups",
        "set somebody's groups, and end their sign-ins",
        "sudo argos user set-groups alice family photos",
        set_groups,
    )
    groups.add_argument("username")
    groups.add_argument("groups", nargs="*", metavar="GROUP", help="all groups; none given: no groups")
    add_json(groups)
    for name, text, command in (
        ("disable-2fa", "turn off a lost second factor, and end the account's sign-ins", disable_2fa),
        ("disable", "disable an account and end its sign-ins", disable),
        ("enable", "enable a disabled account", enable),
        ("delete", "remove an account and end its sign-ins", delete),
    ):
        one = add_command(group, name, text, f"sudo argos user {name} alice", command)
        one.add_argument("username")
        add_json(one)


def _link(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--link", action="store_true", help="print a link for the person to set a password, once, within 24 hours"
    )


def _name_and_password(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("username")
    parser.add_argument(
        "--password-stdin",
        action="store_true",
        help="read the password from standard input; default: ask for it",
    )
    add_json(parser)


def list_all(options: argparse.Namespace) -> int:
    """Print every account."""
    from argos.api.users import everybody
    from argos.cli.session import print_json, services

    with services() as here:
        people, shown = here.application.accounts.list(), everybody(here.application)
        holders = here.application.second_factors.holders()
    if options.json:
        print_json({"users": shown})
        return OK
    for user in people:
        states = (
            ("disabled", user.disabled),
            ("must change password", user.must_change_password),
            ("second factor", user.id in holders),
        )
        notes = [word for word, true in states if true]
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
        answer = shown(here.application, user)
    if options.json:
        print_json({"changed": True, "user": answer, **link})
        return OK
    print(f"{user.username}: created")
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


def _put(options: argparse.Namespace, wanted: Wanted, text: str, *, ended: bool = True) -> int:
    from argos.api.users import told
    from argos.cli.session import print_json, services

    with services() as here:
        change = here.application.people.put(here.actor, options.username, wanted, create=False)
    if options.json:
        print_json(told(change))
    else:
        news = "; all sign-ins ended" if ended else ""
        print(f"{options.username}: {text}" + (news if change.changed else " (unchanged)"))
    return OK


def _print_link(link: dict[str, object]) -> None:
    if link:
        print(f"Use this link once, within 24 hours, to set the password:\n{link['link']}")


def first_admin(options: argparse.Namespace) -> int:
    """Make the first administrator; refused for ever after."""
    from argos.api.users import shown
    from argos.cli.session import read_secret, services

    password = read_secret(options.password_stdin, "Password", _PASSWORD_LIMIT)
    with services() as here:
        user = shown(here.application, here.application.accounts.first_admin(here.actor, options.username, password))
    return _done(options, user, "created; the password must be changed at the first sign-in")


def reset_password(options: argparse.Namespace) -> int:
    """Set another password, or make a link by which the person sets one."""
    from argos.api.users import new_link, shown
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
        reset = here.application.accounts.reset_password(here.actor, options.username, password)
        user = shown(here.application, reset)
    return _done(options, user, "has a new password, which must be changed at the next sign-in; all sign-ins ended")


def disable_2fa(options: argparse.Namespace) -> int:
    """Remove somebody's second factor, and end their sign-ins."""
    from argos.accounts.people import Wanted

    return _put(options, Wanted(second_factor="disabled"), "has no second factor")


def disable(options: argparse.Namespace) -> int:
    """Let nobody sign in with an account."""
    from argos.accounts.people import Wanted

    return _put(options, Wanted(disabled=True), "is disabled")


def enable(options: argparse.Namespace) -> int:
    """Let a disabled account sign in again."""
    from argos.accounts.people import Wanted

    return _put(options, Wanted(disabled=False), "is enabled", ended=False)


def delete(options: argparse.Namespace) -> int:
    """Remove an account."""
    from argos.api.users import told
    from argos.cli.session import print_json, services

    with services() as here:
        change = here.application.people.remove(here.actor, options.username)
    if not change.changed:
        raise Stop(NOT_FOUND, f"user/{options.username[:64]}: no such user")
    if options.json:
        print_json(told(change))
    else:
        print(f"{options.username}: removed; all sign-ins ended")
    return OK


def _done(options: argparse.Namespace, user: dict[str, object], text: str) -> int:
    from argos.cli.session import print_json

    if options.json:
        print_json({"changed": True, "user": user})
    else:
        print(f"{user['username']}: {text}")
    return OK
