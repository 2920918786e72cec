"""`argos secret …`."""

from __future__ import annotations

import argparse

from argos.cli.exits import NOT_FOUND, OK, Stop


def put(options: argparse.Namespace) -> int:
    """Store a value read from standard input."""
    from argos.cli.session import print_json, read_secret, services

    value = read_secret(options.stdin, "Value")
    with services() as here:
        changed = here.application.secrets.set(here.actor, options.name, value)
    if options.json:
        print_json({"changed": changed})
    else:
        print(f"{options.name}: {'stored' if changed else 'unchanged'}")
    return OK


def list_all(options: argparse.Namespace) -> int:
    """Print the names."""
    from argos.cli.session import print_json, services

    with services() as here:
        names = here.application.secrets.names()
    if options.json:
        print_json({"secrets": names})
    else:
        print("\n".join(names) if names else "no secrets are stored")
    return OK


def delete(options: argparse.Namespace) -> int:
    """Forget a value."""
    from argos.cli.session import print_json, services

    with services() as here:
        there = here.application.secrets.delete(here.actor, options.name)
    if not there:
        raise Stop(NOT_FOUND, f"secret/{options.name[:63]}: there is no such secret")
    if options.json:
        print_json({"changed": True})
    else:
        print(f"{options.name}: forgotten")
    return OK
