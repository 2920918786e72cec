#!/usr/bin/python
# Copyright (c) 2026, The Argos developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: backup
short_description: Make sure that an edge has a recent backup
version_added: 0.1.0
description:
  - Makes a backup of the database and of Caddy's storage, and waits until it is written and verified.
  - Only the guest's master key opens a backup. It stays on the guest; C(playbooks/backup.yml) fetches it.
author:
  - The Argos developers (@argos-edge)
options:
  max_age:
    description:
      - Do nothing if there is a backup that is at most this many minutes old. V(0) always makes a new one.
    type: int
    default: 0
  timeout:
    description:
      - Seconds to wait for the backup.
    type: int
    default: 600
extends_documentation_fragment:
  - argos.edge.connection
  - argos.edge.attributes
"""

EXAMPLES = r"""
- name: Make a backup before the upgrade
  argos.edge.backup:
  register: made

- name: Fetch it
  ansible.builtin.fetch:
    src: "{{ made.path }}"
    dest: backups/
    flat: true

- name: Make sure that there is one from today
  argos.edge.backup:
    max_age: 1440
"""

RETURN = r"""
name:
  description: Name of the newest backup.
  returned: when there is one
  type: str
  sample: argos-20261123T020000Z-1f2e.backup
path:
  description: Its path on the guest, in the runtime's default directory.
  returned: when there is one
  type: str
  sample: /var/lib/argos-backups/argos-20261123T020000Z-1f2e.backup
size:
  description: Size in bytes.
  returned: when there is one
  type: int
  sample: 184320
sha256:
  description: SHA-256 of the file, in hex.
  returned: when there is one
  type: str
  sample: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
created_at:
  description: When it was made, in seconds since the Unix epoch.
  returned: when there is one
  type: int
  sample: 1800000000
"""

import time

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.argos.edge.plugins.module_utils.admin_api import (
    CONNECTION_OPTIONS,
    AdminApi,
    AdminApiError,
    RuntimeAbsent,
)

DIRECTORY = "/var/lib/argos-backups"
OPTIONS = {"max_age": {"type": "int", "default": 0}, "timeout": {"type": "int", "default": 600}}


def newest(api):
    """Return the newest backup, or an empty dict."""
    found = api.get("/v1/backups")["backups"]
    return dict(found[0], path="%s/%s" % (DIRECTORY, found[0]["name"])) if found else {}


def make(module, api):
    """Ask for one and wait for it; leave by fail_json when it fails."""
    request = api.post("/v1/backups", {})["request"]
    until = time.monotonic() + module.params["timeout"]
    while time.monotonic() < until:
        run = api.get("/v1/backups/requests/%s" % request)
        if run["state"] == "failed":
            module.fail_json(msg="The backup failed: %s" % run["reason"])
        if run["state"] == "ok":
            return
        time.sleep(0.5)
    module.fail_json(
        msg="The backup was not done within %d seconds; see 'journalctl -u argos-backup'." % module.params["timeout"]
    )


def main():
    """Look whether there is a fresh one, else make it."""
    module = AnsibleModule(argument_spec=dict(CONNECTION_OPTIONS, **OPTIONS), supports_check_mode=True)
    for name in OPTIONS:
        if module.params[name] < 0:
            module.fail_json(msg="%s is %d; expected 0 or more" % (name, module.params[name]))
    api = AdminApi(module.params["socket"])
    try:
        found = newest(api)
        age = time.time() - found.get("created_at", 0)
        if found and module.params["max_age"] and age <= 60 * module.params["max_age"]:
            module.exit_json(changed=False, **found)
        if module.check_mode:
            module.exit_json(changed=True, **found)
        make(module, api)
        found = newest(api)
    except RuntimeAbsent as error:
        if module.check_mode:
            module.warn("No runtime answers on this machine yet, so there is no backup of it.")
            module.exit_json(changed=True)
        module.fail_json(msg=str(error))
    except AdminApiError as error:
        module.fail_json(msg=str(error), errors=error.errors, code=error.code)
    module.exit_json(changed=True, **found)


if __name__ == "__main__":
    main()
