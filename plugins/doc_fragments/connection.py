# Copyright (c) 2026, The Argos developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a module reaches the runtime."""

from __future__ import annotations


class ModuleDocFragment:
    """Options that every module takes."""

    DOCUMENTATION = r"""
options:
  socket:
    description:
      - The unix socket of the runtime's admin API, on the machine that the task runs on.
      - Only root and the group C(argos-admin) may open it, so tasks usually need C(become=true).
    type: path
    default: /run/argos-admin/admin.sock
"""
