"""The command line as a whole: all families of commands, and the run of one."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from argos.cli import (
    audit,
    backup,
    certificates,
    config,
    crowdsec,
    decisions,
    health,
    keys,
    mail,
    oidc,
    restore,
    secrets,
    services,
    users,
    waf,
)
from argos.cli.command_line import Command
from argos.cli.exits import OK, verdict

_EXIT_CODES = """\
exit codes: 0 success; 1 refused, or a check failed; 2 wrong usage; 66 not found; 69 not available now;
70 internal error; 77 not permitted; 78 wrong settings or master key"""


def run(arguments: Sequence[str]) -> int:
    """Run one command and return its exit code; what goes wrong is one message on standard error."""
    options = build_parser().parse_args(arguments)
    command: Command = options.command
    try:
        code = command(options)
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or the interpreter complains at its end
        return OK
    except (Exception, KeyboardInterrupt) as error:
        code, message = verdict(error)
        if message:  # a child may have said it already
            print(f"argos: {message}", file=sys.stderr)
    return code


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of all commands; each sub-parser's ``command`` is what runs it."""
    parser = argparse.ArgumentParser(
        prog="argos",
        description="Manages an Argos edge: people, hosts, bans, certificates, backups.",
        epilog="examples:\n"
        "  sudo argos doctor                          what is wrong, and what to do\n"
        "  sudo argos user reset-password alice --password-stdin < new\n"
        "  sudo argos config plan edge.json           what would change\n\n" + _EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for family in (
        health,
        users,
        config,
        secrets,
        certificates,
        waf,
        decisions,
        crowdsec,
        oidc,
        mail,
        backup,
        restore,
        keys,
        audit,
        services,  # last: systemd runs these, and nobody types them
    ):
        family.add_to(commands)
    return parser
