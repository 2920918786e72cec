"""The commands that systemd runs."""

from __future__ import annotations

import argparse
import os
from typing import TYPE_CHECKING

from argos.cli.command_line import Commands, add_command
from argos.cli.exits import CONFIGURATION, UNAVAILABLE, Stop

if TYPE_CHECKING:
    from argos.settings import Settings


def add_to(commands: Commands) -> None:
    """Add this file's commands to the command line."""
    add_command(commands, "serve", "run by systemd: serve panel, API and admin API", "systemctl start argos", serve)
    add_command(
        commands,
        "gate",
        "run by systemd: decide forward_auth requests",
        "systemctl start argos-gate",
        gate,
    )
    add_command(
        commands,
        "prepare",
        "run by systemd: make the database readable for the gate",
        "systemctl start argos-prepare",
        prepare,
    )
    add_command(
        commands,
        "credentials",
        "run by systemd: put Caddy's credentials on tmpfs",
        "systemctl start argos-credentials",
        credentials,
    )


def serve(_options: argparse.Namespace) -> int:
    """Serve panel, API and admin API until told to stop."""
    from argos.backup.hold import in_use
    from argos.cli.session import read_settings, settle
    from argos.serving.process import start_logging

    settings = read_settings()
    settle(settings)
    start_logging(settings.log_level)
    with in_use(settings):
        return _serve(settings)


def _serve(settings: Settings) -> int:
    from argos.application import Application
    from argos.serving.serve import migrate_apart
    from argos.serving.serve import serve as serve_application
    from argos.settings import BadSetting
    from argos.vault import WrongMasterKey

    migrate_apart(settings)
    try:
        application = Application.from_settings(settings)
    except (BadSetting, WrongMasterKey) as error:
        raise Stop(CONFIGURATION, str(error)) from None
    try:
        return serve_application(application)
    except OSError as error:
        raise Stop(UNAVAILABLE, f"cannot listen: {error}") from None


def gate(_options: argparse.Namespace) -> int:
    """Decide forward_auth requests, as the user argos-gate and without a key."""
    from argos.gate.server import run

    return run(os.environ)


def prepare(_options: argparse.Namespace) -> int:
    """Leave the database readable for the gate."""
    from argos.gate.prepare import run

    return run(os.environ)


def credentials(_options: argparse.Namespace) -> int:
    """Put Caddy's credentials on tmpfs."""
    from argos.cli.privileges import read_environment
    from argos.cli.session import settle
    from argos.edge.credentials import run
    from argos.settings import Settings

    environment = read_environment(os.environ)
    settle(Settings.from_environment(environment))
    return run(environment)
