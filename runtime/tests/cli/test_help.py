"""What `--help` says: each group with examples that the parser takes, and what nobody types last."""

from __future__ import annotations

import argparse
import re
import shlex
from collections.abc import Iterator

import pytest
from argos.cli.parser import build_parser
from argos.cli.services import add_to


def commands_of(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            return dict(action.choices)
    return {}


def every(parser: argparse.ArgumentParser, name: str) -> Iterator[tuple[str, argparse.ArgumentParser]]:
    yield name, parser
    for word, one in commands_of(parser).items():
        yield from every(one, f"{name} {word}")


ALL = dict(every(build_parser(), "argos"))


def examples_of(parser: argparse.ArgumentParser) -> list[str]:
    lines = (parser.epilog or "").splitlines()
    return [line.strip() for line in lines if re.match(r"  (sudo |systemctl |openssl |argos )", line)]


@pytest.mark.parametrize("name", ALL)
def test_every_command_and_group_shows_examples_that_are_taken(name: str) -> None:
    examples = examples_of(ALL[name])
    assert examples
    for example in examples:
        command = re.split(r"\s{2,}| [<>] ", example.rpartition("| ")[2])[0]
        words = shlex.split(command.removeprefix("sudo "))
        if words[0] == "argos":
            build_parser().parse_args(words[1:])


def test_examples_of_files_in_the_backup_directory_name_their_path() -> None:
    for name in ("argos restore", "argos backup verify"):
        for example in examples_of(ALL[name]):
            assert "/var/lib/argos-backups/argos-" in example


def test_what_systemd_runs_comes_last() -> None:
    parser = argparse.ArgumentParser()
    add_to(parser.add_subparsers())
    services = list(commands_of(parser))
    assert list(commands_of(build_parser()))[-len(services) :] == services
