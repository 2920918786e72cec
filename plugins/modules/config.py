#!/usr/bin/python
# Copyright (c) 2026, The Argos developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: config
short_description: Declare everything that an edge publishes, in one task
version_added: 0.1.0
description:
  - Takes the desired state of the whole edge and applies it as one revision.
  - If it contains mistakes, all are reported together, each with its resource and field, and nothing is changed.
  - A revision that Caddy refuses is rolled back, and the error names the host and Caddy's reason. The previous
    configuration keeps running.
  - Five hundred hosts take only a few requests. For one host in a playbook of your own, use M(argos.edge.host).
author:
  - The Argos developers (@argos-edge)
options:
  etag:
    description:
      - The state that the declaration was written for, as returned by an earlier run.
      - If the edge has changed since, the module fails and changes nothing.
    type: str
  pending_secrets:
    description:
      - Names of secrets that an earlier task of the same play stores. In check mode, where that task stores nothing,
        they are treated as stored.
    type: list
    elements: str
    default: []
extends_documentation_fragment:
  - argos.edge.declaration
  - argos.edge.connection
  - argos.edge.attributes
seealso:
  - module: argos.edge.host
  - module: argos.edge.host_info
"""

EXAMPLES = r"""
- name: Publish a photo library behind sign-on and a blog behind the WAF
  argos.edge.config:
    owner: ansible
    prune: true
    settings:
      edge:
        panel_host: argos.home.example
        parent_domain: home.example
        tls: {mode: auto, email: operator@home.example}
    hosts:
      - name: photos.home.example
        upstreams: [{url: "http://192.0.2.20:2342"}]
        auth: {required: true}
      - name: blog.home.example
        upstreams: [{url: "http://192.0.2.21:8080"}]
        waf: {mode: block, paranoia: 1}
        rate_limit: {requests: 120, window: 60}

- name: See what a declaration would change
  argos.edge.config:
    owner: ansible
    hosts: "{{ edge_hosts }}"
    pending_secrets: [oidc-client]
  check_mode: true
  diff: true
"""

RETURN = r"""
changes:
  description: What was changed, or in check mode would be, one entry for each resource.
  returned: success
  type: list
  elements: dict
  sample:
    - kind: host
      name: photos.home.example
      action: create
      before:
      after:
        name: photos.home.example
        auth:
          required: true
etag:
  description: Identifies the declared state. In check mode, the state that the plan was made for.
  returned: when the runtime answers
  type: str
  sample: 3f1c0e6d
revision:
  description: Number of the revision that is active now.
  returned: when applied
  type: int
  sample: 7
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.argos.edge.plugins.module_utils.admin_api import CONNECTION_OPTIONS
from ansible_collections.argos.edge.plugins.module_utils.declaration import declare, without_unset
from ansible_collections.argos.edge.plugins.module_utils.declared_options import DECLARATION_OPTIONS


OWN_OPTIONS = {
    "etag": {"type": "str"},
    # Names only.
    "pending_secrets": {"type": "list", "elements": "str", "default": [], "no_log": False},
}


def main():
    """Plan or apply a whole declaration."""
    module = AnsibleModule(
        argument_spec=dict(CONNECTION_OPTIONS, **OWN_OPTIONS, **DECLARATION_OPTIONS),
        supports_check_mode=True,
    )
    declare(module, without_unset({name: module.params[name] for name in DECLARATION_OPTIONS}))


if __name__ == "__main__":
    main()
