#!/usr/bin/python
# Copyright (c) 2026, The Argos developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: host
short_description: Publish one host through the edge, or remove it
version_added: 0.1.0
description:
  - Declares one host. Other hosts stay as they are. Options that the task leaves out get their defaults, not their
    earlier values.
  - The settings of the edge must have been declared before, with M(argos.edge.config).
author:
  - The Argos developers (@argos-edge)
extends_documentation_fragment:
  - argos.edge.host
  - argos.edge.connection
  - argos.edge.attributes
seealso:
  - module: argos.edge.config
  - module: argos.edge.host_info
"""

EXAMPLES = r"""
- name: Publish the password vault behind sign-on and the WAF
  argos.edge.host:
    name: vault.home.example
    upstreams: [{url: "http://192.0.2.30:8000"}]
    auth: {required: true}
    waf: {mode: detect}

- name: Redirect old links and block the admin pages from outside
  argos.edge.host:
    name: blog.home.example
    upstreams: [{url: "http://192.0.2.21:8080"}]
    rules:
      - priority: 10
        match: {path: [/old/*]}
        action: {type: redirect, location: /archive, status: 308}
      - priority: 20
        match: {path: [/admin/*]}
        action: {type: block}

- name: Remove a host
  argos.edge.host:
    name: test.home.example
    state: absent
"""

RETURN = r"""
changes:
  description: The change, empty when the host already matches.
  returned: success
  type: list
  elements: dict
  sample:
    - kind: host
      name: vault.home.example
      action: update
      before:
        waf:
          mode: "off"
      after:
        waf:
          mode: detect
etag:
  description: Identifies the declared state. In check mode, the state that the plan was made for.
  returned: when the runtime answers
  type: str
  sample: 3f1c0e6d
revision:
  description: Number of the revision that is active now.
  returned: when applied
  type: int
  sample: 8
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.argos.edge.plugins.module_utils.admin_api import CONNECTION_OPTIONS
from ansible_collections.argos.edge.plugins.module_utils.declaration import declare, without_unset
from ansible_collections.argos.edge.plugins.module_utils.declared_options import HOST_OPTIONS


def main():
    """Plan or apply one host's declaration."""
    module = AnsibleModule(argument_spec=dict(CONNECTION_OPTIONS, **HOST_OPTIONS), supports_check_mode=True)
    host = without_unset({name: module.params[name] for name in HOST_OPTIONS})
    owner = host.pop("owner", "")
    declare(module, {"owner": owner, "hosts": [host]})


if __name__ == "__main__":
    main()
