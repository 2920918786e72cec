#!/usr/bin/python
# Copyright (c) 2026, The Argos developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: host_info
short_description: Read the hosts that an edge publishes
version_added: 0.1.0
description:
  - Returns the declared hosts, with defaults filled in. It contains no secrets, only their names.
author:
  - The Argos developers (@argos-edge)
options:
  name:
    description:
      - The host to read. All hosts when left out.
    type: str
extends_documentation_fragment:
  - argos.edge.connection
  - argos.edge.attributes.info
seealso:
  - module: argos.edge.host
"""

EXAMPLES = r"""
- name: Read every published host
  argos.edge.host_info:
  register: published

- name: Fail if the vault is not behind sign-on
  ansible.builtin.assert:
    that: published.hosts | selectattr('name', 'eq', 'vault.home.example') | selectattr('auth.required') | length == 1

- name: Read one host; the list is empty if it is not published
  argos.edge.host_info:
    name: photos.home.example
"""

RETURN = r"""
hosts:
  description: The declared hosts, sorted by name.
  returned: success
  type: list
  elements: dict
  sample:
    - name: photos.home.example
      url: https://photos.home.example
      owner: ansible
      auth:
        required: true
      upstreams:
        - url: http://10.0.0.5:2342
          weight: 1
"""

from urllib.parse import quote

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.argos.edge.plugins.module_utils.admin_api import (
    CONNECTION_OPTIONS,
    AdminApi,
    AdminApiError,
)


def main():
    """Read one host or all."""
    module = AnsibleModule(argument_spec=dict(CONNECTION_OPTIONS, name={"type": "str"}), supports_check_mode=True)
    api = AdminApi(module.params["socket"])
    name = module.params["name"]
    try:
        hosts = api.get("/v1/hosts")["hosts"] if name is None else [api.get("/v1/hosts/%s" % quote(name, safe=""))]
    except AdminApiError as error:
        if error.status != 404:
            module.fail_json(msg=str(error), errors=error.errors, code=error.code)
        hosts = []
    module.exit_json(changed=False, hosts=hosts)


if __name__ == "__main__":
    main()
