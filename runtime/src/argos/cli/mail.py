"""`argos mail …`: how mail stands, and the test message."""

from __future__ import annotations

import argparse

from argos.cli.command_line import Commands, add_command, add_group, add_json
from argos.cli.exits import FAILED, OK


def add_to(commands: Commands) -> None:
    """Add this file's commands to the command line."""
    group = add_group(
        commands, "mail", "e-mail notifications", "sudo argos mail status\n  sudo argos mail test --to me@home.example"
    )
    standing = add_command(
        group, "status", "show waiting notices and the last e-mail", "sudo argos mail status", status
    )
    trial = add_command(group, "test", "send a test message and report each step", "sudo argos mail test", test)
    trial.add_argument("--to", metavar="ADDRESS", default="", help="one of the declared recipients; default: all")
    for one in (standing, trial):
        add_json(one)


def status(options: argparse.Namespace) -> int:
    """Print how mail stands; 1 while the last one did not go out."""
    import msgspec

    from argos.cli.session import print_json, services
    from argos.clock import to_the_minute

    with services() as here:
        state = here.application.mail.state()
    if options.json:
        print_json(msgspec.to_builtins(state))
    else:
        declared = "on" if state.enabled else "off" if state.declared else "not declared"
        print(f"e-mail is {declared}; waiting notices: {state.waiting}")
        print("last e-mail sent: " + (to_the_minute(state.sent_at) if state.sent_at else "never"))
        if state.failed_at:
            print(f"last attempt, {to_the_minute(state.failed_at)}, failed: {state.failure}")
    return FAILED if state.failure else OK


def test(options: argparse.Namespace) -> int:
    """Send the test message, and print each step."""
    from argos.cli.session import services
    from argos.cli.trial import told

    with services() as here:
        steps = here.application.mail.test(here.actor, options.to)
    return told(steps, json=options.json)
