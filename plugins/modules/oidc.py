#!/usr/bin/python
# Copyright (c) 2026, The Argos developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: oidc
short_description: Let people sign in with an OpenID Connect provider
version_added: 0.1.0
description:
  - Declares the provider and who may sign in with it. Options that the task leaves out get their defaults, not their
    earlier values.
  - A task that sets only O(enabled) turns the declared provider on or off, and keeps the rest of its declaration.
  - Store the client secret with M(argos.edge.secret), and refer to it by name here.
  - O(enabled=false) takes effect at once, even if the provider is down, and signs out everybody who signed in with it.
    So does a different O(issuer). People who signed in with a password stay signed in.
author:
  - The Argos developers (@argos-edge)
extends_documentation_fragment:
  - argos.edge.oidc
  - argos.edge.connection
  - argos.edge.attributes
seealso:
  - module: argos.edge.config
"""

EXAMPLES = r"""
- name: Sign in with Authentik
  argos.edge.oidc:
    name: Authentik
    issuer: https://auth.home.example/application/o/argos/
    client_id: argos
    client_secret: {secret: oidc-client}
    allowed_groups: [family]
    auto_provision: true
    group_map:
      family: [everyone]

- name: Turn the provider off; a task with only O(enabled=true) turns it on again
  argos.edge.oidc:
    enabled: false
"""

RETURN = r"""
changes:
  description: The change, empty when the provider already matches.
  returned: success
  type: list
  elements: dict
  sample:
    - kind: settings
      name: oidc
      action: update
      before:
        enabled: true
      after:
        enabled: false
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
from ansible_collections.argos.edge.plugins.module_utils.declared_options import OIDC_OPTIONS


def main():
    """Plan or apply the provider's declaration."""
    module = AnsibleModule(argument_spec=dict(CONNECTION_OPTIONS, **OIDC_OPTIONS), supports_check_mode=True)
    oidc = without_unset({name: module.params[name] for name in OIDC_OPTIONS})
    owner = oidc.pop("owner", "")
    declare(module, {"owner": owner, "settings": {"oidc": oidc}})


if __name__ == "__main__":
    main()
