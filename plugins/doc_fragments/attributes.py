# Copyright (c) 2026, The Argos developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the modules promise of check mode and diff."""

from __future__ import annotations


class ModuleDocFragment:
    """Attributes of modules that change something, and of those that only read (INFO)."""

    DOCUMENTATION = r"""
options: {}
attributes:
  check_mode:
    support: full
    description: Returns the plan that would be carried out, and changes nothing.
  diff_mode:
    support: full
    description: Shows each resource before and after, without secrets.
  idempotent:
    support: full
    description: A second identical run writes nothing and reloads nothing.
"""

    INFO = r"""
options: {}
attributes:
  check_mode:
    support: full
    description: Only reads.
  diff_mode:
    support: N/A
    description: Changes nothing.
"""
