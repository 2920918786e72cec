"""Where an inventory's guest comes from, read before Ansible is installed: preflight checks this machine by it.

Only the plain text of the variables is read: a value made by a template counts as the default.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

DEFAULT = "lxc"
ASSIGNED = re.compile(r"""(?:^|[\s,{])["']?argos_guest_provider["']?\s*[:=]\s*["']?([a-z]+)""", re.MULTILINE)
COMMENT = re.compile(r"^\s*#.*$", re.MULTILINE)
SUFFIXES = ("", ".yml", ".yaml", ".json", ".ini")
LARGEST = 1 << 20
"""Bytes of a file that is read: variables are small."""


def guest_provider(inventory: Path, arguments: list[str]) -> str:
    """Return the ``argos_guest_provider`` that ansible-playbook will see: ``existing`` if any file of it says so.

    Args:
        inventory: a file, with group_vars and host_vars beside it, or a directory that holds them.
        arguments: those of ansible-playbook; what ``-e`` sets goes before the inventory.
    """
    for texts in (_extra(arguments), _files(inventory)):
        found = [value for text in texts for value in ASSIGNED.findall(COMMENT.sub("", text))]
        if found:
            return "existing" if "existing" in found else str(found[-1])
    return DEFAULT


def _extra(arguments: list[str]) -> Iterator[str]:
    """Yield the text of each ``-e``, and of each file that one names."""
    for before, argument in zip(["", *arguments], arguments, strict=False):
        option, equals, value = argument.partition("=")
        if option == "--extra-vars" and equals:
            given = value
        elif before in ("-e", "--extra-vars"):
            given = argument
        elif argument.startswith("-e") and len(argument) > 2:
            given = argument[2:]
        else:
            continue
        yield from _content(Path(given[1:])) if given.startswith("@") else [given]


def _files(inventory: Path) -> Iterator[str]:
    """Yield the content of every file in which an inventory may keep variables."""
    if inventory.is_dir():
        paths = list(inventory.rglob("*"))
    else:
        beside = [inventory.parent / name for name in ("group_vars", "host_vars")]
        paths = [inventory, *(path for directory in beside for path in directory.rglob("*"))]
    for path in sorted(paths):
        if path.suffix in SUFFIXES:
            yield from _content(path)


def _content(path: Path) -> Iterator[str]:
    if path.is_file():
        with path.open(encoding="utf-8", errors="replace") as file:
            yield file.read(LARGEST)
