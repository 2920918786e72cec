"""How a command gets at the services: settings, then the right user, then the application."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from argos.cli.exits import CONFIGURATION, USAGE, Stop
from argos.cli.privileges import become_owner, read_environment
from argos.hardening import forbid_dumps
from argos.serving.process import clean_environment
from argos.settings import BadSetting, Settings

if TYPE_CHECKING:
    from argos.application import Application
    from argos.audit import Actor


def read_settings() -> Settings:
    """The settings, read as whoever runs this.

    Raises:
        Stop: a variable is wrong, or may not be read.
    """
    try:
        return Settings.from_environment(read_environment(os.environ))
    except BadSetting as error:
        raise Stop(CONFIGURATION, str(error)) from None


def settle(settings: Settings) -> None:
    """Become the owner of the data, not dumpable, with an environment that holds no secret (SEC-3)."""
    become_owner(settings.data_dir)
    forbid_dumps()
    clean_environment()


@dataclass(frozen=True)
class Services:
    """The wired services, and who runs the command."""

    application: Application
    actor: Actor


@contextmanager
def services() -> Iterator[Services]:
    """The services in this process, beside or without a running ``argos serve``: the same code path as the panel's.

    Raises:
        Stop: settings, master key or permissions are wrong.
        Unavailable: a restore is putting other data in place, or was interrupted at it.
    """
    from argos.application import Application
    from argos.backup.hold import in_use
    from argos.vault import WrongMasterKey

    actor = caller(os.environ)
    settings = read_settings()
    settle(settings)
    # Before the database is opened: where there is none, that would make one.
    with in_use(settings):
        try:
            application = Application.from_settings(settings)
        except (BadSetting, WrongMasterKey) as error:
            raise Stop(CONFIGURATION, str(error)) from None
        try:
            yield Services(application, actor)
        finally:
            application.close()


def caller(environment: Mapping[str, str]) -> Actor:
    """Who runs this command, for the audit: the person behind sudo where that is known, which is a claim."""
    from argos.audit import Actor

    claimed = environment.get("SUDO_USER") or environment.get("USER") or "root"
    return Actor(kind="cli", name="".join(letter for letter in claimed if letter.isprintable())[:64] or "root")


def read_secret(from_stdin: bool, prompt: str, limit: int = 64 * 1024) -> str:
    """A secret from standard input, its last line end taken off, or asked for on the terminal.

    Raises:
        Stop: neither can be had, or it is too long or not UTF-8.
    """
    if from_stdin:
        raw = sys.stdin.buffer.read(limit + 2)
        try:
            text = raw.decode("utf-8")
        except UnicodeDecodeError:
            raise Stop(USAGE, "standard input is not UTF-8") from None
        text = text.removesuffix("\n").removesuffix("\r")
        if len(raw) > limit + 1 or not text:
            raise Stop(USAGE, "standard input is empty" if not text else f"standard input is over {limit} bytes")
        return text
    if not sys.stdin.isatty():
        raise Stop(USAGE, "no terminal to ask on: use --password-stdin")
    import getpass

    first = getpass.getpass(f"{prompt}: ")
    if getpass.getpass(f"Repeat {prompt.lower()}: ") != first:
        raise Stop(USAGE, "the two do not match")
    return first


def print_json(value: Any) -> None:
    """Print ``value`` as JSON for people and programs."""
    import json

    print(json.dumps(value, indent=2, ensure_ascii=False))
