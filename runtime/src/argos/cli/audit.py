"""`argos audit …`: the audit log."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from argos.cli.command_line import Commands, add_command, add_group, add_json
from argos.cli.exits import FAILED, OK

if TYPE_CHECKING:
    from argos.audit.search import Query

_FILTERS = ("kind", "actor", "action", "target", "address", "text", "since", "until", "before", "limit")


def add_to(commands: Commands) -> None:
    """Add this file's commands to the command line."""
    group = add_group(
        commands,
        "audit",
        "the audit log: every change, who made it and when",
        "sudo argos audit list --action user. --since 2026-11-01\n  sudo argos audit export --format csv > audit.csv",
    )
    verification = add_command(
        group,
        "verify",
        "check the whole audit log; exit status 1 if it was altered or its checkpoint is gone",
        "argos audit verify",
        verify,
    )
    add_json(verification)
    add_command(
        group,
        "checkpoint",
        "write a new checkpoint, if you know why the old one is gone or does not fit; this is logged",
        "sudo argos audit checkpoint",
        renew_checkpoint,
    )
    listing = add_command(group, "list", "list rows, newest first", "sudo argos audit list --target host/", list_rows)
    listing.add_argument("--limit", default="50", help="maximum number of rows, 1 to 500; default: 50")
    listing.add_argument("--before", default="", metavar="ID", help="only rows older than this one")
    add_json(listing)
    exporting = add_command(
        group, "export", "print all matching rows, oldest first", "sudo argos audit export > audit.jsonl", export
    )
    exporting.add_argument("--format", choices=("jsonl", "csv"), default="jsonl", help="default: jsonl")
    for one in (listing, exporting):
        for name, text in (
            ("kind", "person, token, ansible, socket, cli or system"),
            ("actor", "part of the actor's name"),
            ("action", "beginning of the action, such as user."),
            ("target", "part of the target, such as host/photos"),
            ("address", "beginning of the address"),
            ("text", "part of action, target, before or after"),
            ("since", "a date, a time or seconds since 1970, inclusive"),
            ("until", "the same, exclusive"),
        ):
            one.add_argument(f"--{name}", default="", help=text)


def verify(options: argparse.Namespace) -> int:
    """Read the whole chain; 1 when it was altered, or the checkpoint that was written beside it is gone."""
    from argos.cli.session import print_json, services

    with services() as here:
        verdict = here.application.audit.examine()
    if options.json:
        print_json(verdict.facts())
    elif verdict.sound:
        print(f"{verdict.rows} rows from row {verdict.first} on: none altered, none missing")
        if verdict.note:
            print(f"note: {verdict.note}")
    elif verdict.lost:
        print(f"{verdict.reason}; the {verdict.rows} rows present are intact, but newer rows may be missing")
    else:
        print(f"row {verdict.broken}: {verdict.reason}; {verdict.rows} rows before it are intact")
    return OK if verdict.sound else FAILED


def renew_checkpoint(_options: argparse.Namespace) -> int:
    """Write the checkpoint anew, in the caller's name."""
    from argos.cli.session import services

    with services() as here:
        here.application.audit.renew_checkpoint(here.actor)
        verdict = here.application.audit.examine()
    if not verdict.sound:
        print(f"row {verdict.broken}: {verdict.reason}; a new checkpoint does not change that")
        return FAILED
    print(f"new checkpoint written; the audit log is intact: {verdict.rows} rows")
    return OK


def list_rows(options: argparse.Namespace) -> int:
    """Print a page of rows, newest first."""
    from argos.audit.export import as_dict
    from argos.cli.session import print_json, services

    query = _query(options)
    with services() as here:
        page = here.application.record.page(query)
    if options.json:
        print_json({"entries": [as_dict(entry) for entry in page.entries], "older": page.older})
        return OK
    for entry in page.entries:
        who = f"{entry.kind}:{entry.actor}" + (" (claimed)" if entry.claim else "")
        where = f" from {entry.address}" if entry.address else ""
        print(_printable(f"{entry.id:>7}  {entry.time}  {entry.action}  {entry.target}  by {who}{where}"))
    if page.older is not None:
        print(f"older rows: --before {page.older}")
    return OK


def export(options: argparse.Namespace) -> int:
    """Write every row that passes to standard output."""
    from argos.audit.export import FORMATS
    from argos.cli.session import services

    query = _query(options)
    with services() as here:
        for line in FORMATS[options.format][1](here.application.record.all(query)):
            sys.stdout.buffer.write(line)
    return OK


def _query(options: argparse.Namespace) -> Query:
    from argos.audit.search import parse_query

    return parse_query({name: getattr(options, name) for name in _FILTERS if getattr(options, name, "")})


def _printable(text: str) -> str:
    """A name in the record may hold what a terminal obeys."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)
