"""`argos secret …`."""

from __future__ import annotations

import argparse
import sys
import time

from argos.cli.command_line import Commands, add_command, add_group, add_json
from argos.cli.exits import OK


def add_to(commands: Commands) -> None:
    """Add this file's commands to the command line."""
    group = add_group(
        commands,
        "secret",
        "secrets that declarations refer to by name; never shown",
        "sudo argos secret set cloudflare-token --stdin < token\n  sudo argos secret list",
    )
    storing = add_command(
        group, "set", "store or replace a secret", "sudo argos secret set cloudflare-token --stdin < token", put
    )
    storing.add_argument("name")
    storing.add_argument("--stdin", action="store_true", required=True, help="read the value from standard input")
    add_json(storing)
    listing = add_command(
        group, "list", "list names, versions and where they are used", "sudo argos secret list", list_all
    )
    add_json(listing)
    remove = add_command(group, "delete", "delete a secret", "sudo argos secret delete cloudflare-token", delete)
    remove.add_argument("name")
    add_json(remove)


def put(options: argparse.Namespace) -> int:
    """Store a value read from standard input."""
    from argos.cli.session import print_json, read_secret, services

    value = read_secret(options.stdin, "Value")
    with services() as here:
        change = here.application.declared_secrets.set(here.actor, options.name, value)
    if options.json:
        print_json({"changed": change.changed, "version": change.version, "warnings": list(change.warnings)})
    else:
        print(f"{options.name}: {'stored' if change.changed else 'unchanged'}, version {change.version}")
        for warning in change.warnings:
            print(f"argos: {warning}", file=sys.stderr)
    return OK


def list_all(options: argparse.Namespace) -> int:
    """Print names, versions and who uses them."""
    from argos.cli.session import print_json, services

    with services() as here:
        views = here.application.declared_secrets.views()
    if options.json:
        import msgspec

        print_json({"secrets": msgspec.to_builtins(views)})
        return OK
    for view in views:
        day = time.strftime("%Y-%m-%d", time.gmtime(view.updated_at))
        print(f"{view.name}  version {view.version} of {day}  used by {', '.join(view.used_by) or 'nothing'}")
    if not views:
        print("no secrets are stored")
    return OK


def delete(options: argparse.Namespace) -> int:
    """Forget a value that nobody uses."""
    from argos.cli.session import print_json, services

    with services() as here:
        here.application.declared_secrets.delete(here.actor, options.name)
    if options.json:
        print_json({"changed": True})
    else:
        print(f"{options.name}: deleted")
    return OK
