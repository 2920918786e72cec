"""`argos config …`: the same plan and apply as the admin API's."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from argos.cli.exits import NOT_FOUND, OK, USAGE, Stop

if TYPE_CHECKING:
    from argos.edge.model import Document

_LIMIT = 16 * 1024 * 1024


def plan(options: argparse.Namespace) -> int:
    """Print what the document would change, as JSON."""
    from argos.api.bodies import encode
    from argos.cli.session import services

    document = _read(options.file)
    with services() as here:
        print(encode(here.application.engine.plan(document)))
    return OK


def apply(options: argparse.Namespace) -> int:
    """Apply the document, and print what changed, as JSON."""
    from argos.api.bodies import encode
    from argos.cli.session import services

    document = _read(options.file)
    with services() as here:
        print(encode(here.application.engine.apply(here.actor, document, None)))
    return OK


def show(_options: argparse.Namespace) -> int:
    """Print the declared state as a document."""
    from argos.api.bodies import encode
    from argos.api.config import document_of
    from argos.cli.session import services

    with services() as here:
        print(encode(document_of(here.application.state())))
    return OK


def _read(name: str) -> Document:
    # Read as whoever runs this, before root is given up: the file may be root's.
    from argos.api.config import read_document

    try:
        raw = sys.stdin.buffer.read(_LIMIT + 1) if name == "-" else Path(name).read_bytes()
    except FileNotFoundError:
        raise Stop(NOT_FOUND, f"{name}: there is no such file") from None
    except OSError as error:
        raise Stop(USAGE, f"{name}: {error.strerror}") from None
    if len(raw) > _LIMIT:
        raise Stop(USAGE, f"{name}: over 16 MiB")
    return read_document(raw)
