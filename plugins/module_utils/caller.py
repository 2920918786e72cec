# Copyright (c) 2026, The Argos developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the play comes from: the peer of the SSH connection that the task runs in."""

from __future__ import annotations

import os

_DEPTH = 20


def ssh_peers(proc="/proc"):
    """Return the client's address of the SSH connection above this process; an empty list without one.

    sudo drops the variable, so the processes above are asked too, as far as they may be read.
    """
    process = "self"
    for _unused in range(_DEPTH):
        try:
            with open(os.path.join(proc, process, "environ"), "rb") as file:
                environment = file.read()
            with open(os.path.join(proc, process, "stat"), "rb") as file:
                parent = file.read().rpartition(b")")[2].split()[1].decode("ascii")
        except (OSError, IndexError, UnicodeDecodeError):
            break
        for variable in environment.split(b"\0"):
            if variable.startswith(b"SSH_CONNECTION="):
                return [variable[15:].partition(b" ")[0].decode("ascii", "replace")[:64]]
        if parent in ("0", "1"):
            break
        process = parent
    return []
