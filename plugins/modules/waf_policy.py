#!/usr/bin/python
# Copyright (c) 2026, The Argos developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: waf_policy
short_description: Declare a WAF policy that hosts share, or remove it
version_added: 0.1.0
description:
  - Declares one named policy. Other policies stay as they are.
  - Options that the task leaves out get their defaults, not their earlier values.
  - Hosts refer to a policy by its name, in O(argos.edge.host#module:waf.policy).
author:
  - The Argos developers (@argos-edge)
extends_documentation_fragment:
  - argos.edge.waf_policy
  - argos.edge.connection
  - argos.edge.attributes
seealso:
  - module: argos.edge.config
  - module: argos.edge.host
"""

EXAMPLES = r"""
- name: Watch before blocking
  argos.edge.waf_policy:
    name: trial
    mode: detect
    paranoia: 2

- name: Allow what the wiki's editor sends, and nothing else
  argos.edge.waf_policy:
    name: wiki
    paranoia: 2
    exclusions:
      - {tag: attack-sqli, parameter: "ARGS:text", path: /save, methods: [POST]}
      - {range: 941100-941199, parameter: "ARGS:text", path: /save, methods: [POST]}
      - {id: 920272, path: /export/*}
    custom_rules:
      - >-
        SecRule REQUEST_HEADERS:User-Agent "@contains BadBot"
        "id:100001,phase:1,deny,status:403,t:none,msg:'A robot that was asked to stay away',severity:'WARNING'"

- name: Use it
  argos.edge.host:
    name: wiki.home.example
    upstreams: [{url: "http://192.0.2.40:3000"}]
    waf: {policy: wiki}

- name: Remove a policy that no host uses any more
  argos.edge.waf_policy:
    name: trial
    state: absent
"""

RETURN = r"""
changes:
  description: The change, empty when the policy already matches.
  returned: success
  type: list
  elements: dict
  sample:
    - kind: waf_policy
      name: wiki
      action: update
      before:
        paranoia: 1
      after:
        paranoia: 2
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
from ansible_collections.argos.edge.plugins.module_utils.declared_options import WAF_POLICY_OPTIONS


def main():
    """Plan or apply one policy's declaration."""
    module = AnsibleModule(argument_spec=dict(CONNECTION_OPTIONS, **WAF_POLICY_OPTIONS), supports_check_mode=True)
    policy = without_unset({name: module.params[name] for name in WAF_POLICY_OPTIONS})
    owner = policy.pop("owner", "")
    declare(module, {"owner": owner, "waf_policies": [policy]})


if __name__ == "__main__":
    main()
