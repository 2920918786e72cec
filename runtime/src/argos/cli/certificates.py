"""`argos certificates`: what the edge serves over TLS, until when, and what went wrong."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from argos.cli.command_line import Commands, add_command, add_json
from argos.cli.exits import FAILED, OK
from argos.clock import to_the_minute

if TYPE_CHECKING:
    from argos.edge.certificate_status import CertificateStatus

_TROUBLE = {"missing", "failing", "expired"}


def add_to(commands: Commands) -> None:
    """Add this file's commands to the command line."""
    one = add_command(
        commands,
        "certificates",
        "list certificates, with expiry dates and errors",
        "sudo argos certificates --json",
        show,
    )
    add_json(one)


def show(options: argparse.Namespace) -> int:
    """Print every certificate; exit code 1 when one is missing, has expired, or cannot be renewed."""
    from argos.api.bodies import encode
    from argos.cli.session import services

    with services() as here:
        found = here.application.certificates()
    if options.json:
        print(encode({"certificates": found}))
    else:
        print("\n".join(_line(status) for status in found) or "nothing is served over TLS")
    return FAILED if any(status.condition in _TROUBLE for status in found) else OK


def _line(status: CertificateStatus) -> str:
    parts = [f"{status.name}: {status.condition}", status.source]
    if status.issuer:
        parts.append(f"by {status.issuer}")
    if status.not_after is not None:
        parts.append(f"until {to_the_minute(status.not_after)}")
    if status.renew_at is not None:
        parts.append(f"renewed from {to_the_minute(status.renew_at)}")
    if status.error:
        parts.append(f"last attempt {to_the_minute(status.failed_at or 0)}: {status.error}")
    return ", ".join(parts)
