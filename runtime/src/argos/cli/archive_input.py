"""What a command that opens a backup is given: the file, and the keys that may open it."""

from __future__ import annotations

import os
from io import BufferedReader
from pathlib import Path

from argos.cli.exits import CONFIGURATION, NOT_FOUND, USAGE, Stop
from argos.settings import BadSetting, Settings, decode_master_key

FORMER_KEY = "ARGOS_FORMER_MASTER_KEY"


def opened(name: str) -> BufferedReader:
    """The file, open for reading.

    Raises:
        Stop: it cannot be opened.
    """
    try:
        return Path(name).open("rb")
    except FileNotFoundError:
        raise Stop(NOT_FOUND, f"{name}: no such file") from None
    except OSError as error:
        raise Stop(USAGE, f"{name}: {error.strerror}") from None


def master_key(settings: Settings) -> bytes:
    """Today's master key.

    Raises:
        Stop: there is none.
    """
    try:
        return settings.require_master_key()
    except BadSetting as error:
        raise Stop(CONFIGURATION, str(error)) from None


def former_key(from_stdin: bool = False) -> bytes | None:
    """A master key of before, from standard input or the environment; None when none is given.

    Raises:
        Stop: what is given is no key.
    """
    from argos.cli.privileges import read_environment
    from argos.cli.session import read_secret

    text = read_secret(True, FORMER_KEY, 256) if from_stdin else read_environment(os.environ).get(FORMER_KEY, "")
    try:
        return decode_master_key(text, FORMER_KEY) if text else None
    except BadSetting as error:
        raise Stop(CONFIGURATION, str(error)) from None
