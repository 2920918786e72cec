# Copyright (c) 2026, The Argos developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which of some names are unknown, and what each was probably meant to be."""

from __future__ import annotations

DOCUMENTATION = r"""
name: misspelt
short_description: Find names that are not on a list, and suggest the nearest ones
version_added: 0.1.0
description:
  - Returns the names that are not known, each with the most similar known name, if there is one.
author:
  - The Argos developers (@argos-edge)
positional: known
options:
  _input:
    description: The names to check.
    type: list
    elements: str
    required: true
  known:
    description: The names that are allowed.
    type: list
    elements: str
    required: true
"""

EXAMPLES = r"""
- name: Refuse a variable that nothing reads
  ansible.builtin.assert:
    that: "['argos_edge_host'] | argos.edge.misspelt(['argos_edge_hosts']) | length == 0"
"""

RETURN = r"""
_value:
  description: The unknown names, sorted, each followed by a suggestion in parentheses if there is one.
  type: list
  elements: str
  sample: ["argos_edge_host (did you mean argos_edge_hosts?)"]
"""

from collections.abc import Callable, Iterable
from difflib import get_close_matches


def misspelt(names: Iterable[str], known: Iterable[str]) -> list[str]:
    """Return each unknown name, with the nearest known one."""
    allowed = sorted(set(known))
    found = []
    for name in sorted(set(names) - set(allowed)):
        nearest = get_close_matches(name, allowed, n=1, cutoff=0.8)
        found.append(f"{name} (did you mean {nearest[0]}?)" if nearest else name)
    return found


class FilterModule:
    """The filters of this file."""

    def filters(self) -> dict[str, Callable[..., list[str]]]:
        """Return them by name."""
        return {"misspelt": misspelt}
