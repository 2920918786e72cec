"""How a family of commands adds itself to the command line: one sentence, one example, what runs it."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import TypeAlias

Command = Callable[[argparse.Namespace], int]

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"  # noqa: SLF001  # argparse names it nowhere else


def add_command(commands: Commands, name: str, text: str, example: str, command: Command) -> argparse.ArgumentParser:
    """Add ``name``; ``text`` says in one sentence, without its stop, what it does."""
    parser = commands.add_parser(
        name,
        help=text,
        description=text[:1].upper() + text[1:] + ".",
        epilog=f"example:\n  {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(command=command)
    return parser


def add_group(commands: Commands, name: str, text: str, examples: str) -> Commands:
    """Add ``name``, which has commands of its own, and return where they are added."""
    group = commands.add_parser(
        name,
        help=text,
        description=text[:1].upper() + text[1:] + ".",
        epilog=f"examples:\n  {examples}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    return group.add_subparsers(title="commands", metavar="COMMAND", required=True)


def add_json(parser: argparse.ArgumentParser) -> None:
    """Add the option that every command with an answer has."""
    parser.add_argument("--json", action="store_true", help="print JSON")
