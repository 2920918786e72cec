#!/usr/bin/python
# Copyright (c) 2026, The Argos developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: user_info
short_description: Read the accounts of an edge
version_added: 0.1.0
description:
  - Returns who may sign in, with role, groups and whether they have a second factor. It never contains a password or
    its hash.
author:
  - The Argos developers (@argos-edge)
options:
  username:
    description:
      - The account to read. All accounts when left out.
    type: str
extends_documentation_fragment:
  - argos.edge.connection
  - argos.edge.attributes.info
seealso:
  - module: argos.edge.user
"""

EXAMPLES = r"""
- name: Read every account
  argos.edge.user_info:
  register: people

- name: Fail if anybody but alice is an administrator
  ansible.builtin.assert:
    that: people.users | selectattr('role', 'eq', 'admin') | map(attribute='username') == ['alice']

- name: Stop if an administrator has no second factor
  ansible.builtin.assert:
    that: people.users | selectattr('role', 'eq', 'admin') | rejectattr('has_second_factor') | list | length == 0

- name: Read one account; the list is empty if there is none
  argos.edge.user_info:
    username: bob
"""

RETURN = r"""
users:
  description: The accounts, sorted by name. Times are seconds since the Unix epoch.
  returned: success
  type: list
  elements: dict
  sample:
    - id: 2
      username: bob
      name: Bob
      email: bob@home.example
      email_verified: true
      role: member
      groups: [family]
      provider: local
      must_change_password: false
      disabled: false
      has_password: true
      has_second_factor: false
      created_at: 1800000000
      updated_at: 1800000000
"""

from urllib.parse import quote

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.argos.edge.plugins.module_utils.admin_api import (
    CONNECTION_OPTIONS,
    AdminApi,
    AdminApiError,
)


def main():
    """Read one account or all."""
    module = AnsibleModule(argument_spec=dict(CONNECTION_OPTIONS, username={"type": "str"}), supports_check_mode=True)
    api = AdminApi(module.params["socket"])
    username = module.params["username"]
    try:
        if username is None:
            found = api.get("/v1/users")["users"]
        else:
            found = [api.get("/v1/users/%s" % quote(username, safe=""))]
    except AdminApiError as error:
        if error.status != 404:
            module.fail_json(msg=str(error), errors=error.errors, code=error.code)
        found = []
    module.exit_json(changed=False, users=found)


if __name__ == "__main__":
    main()
