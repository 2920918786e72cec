#!/usr/bin/python
# Copyright (c) 2026, The Argos developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: mail
short_description: Set up e-mail notifications
version_added: 0.1.0
description:
  - Declares the SMTP server, the recipients, and what to send e-mail about.
  - Options that the task leaves out get their defaults, not their earlier values.
  - Store the password with M(argos.edge.secret), and refer to it by name here.
  - C(argos mail test) on the guest sends a test message and reports each step.
author:
  - The Argos developers (@argos-edge)
extends_documentation_fragment:
  - argos.edge.mail
  - argos.edge.connection
  - argos.edge.attributes
seealso:
  - module: argos.edge.config
  - module: argos.edge.secret
"""

EXAMPLES = r"""
- name: Store the password, from Ansible Vault
  argos.edge.secret:
    name: smtp-password
    value: "{{ vault_smtp_password }}"

- name: Send e-mail through the provider's server
  argos.edge.mail:
    host: smtp.provider.example
    username: me@provider.example
    password: {secret: smtp-password}
    sender: me@provider.example
    recipients: [me@provider.example]
"""

RETURN = r"""
changes:
  description: The change, empty when mail already matches.
  returned: success
  type: list
  elements: dict
  sample:
    - kind: settings
      name: mail
      action: update
      before:
        port: 465
      after:
        port: 587
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
from ansible_collections.argos.edge.plugins.module_utils.declared_options import MAIL_OPTIONS


def main():
    """Plan or apply the mail server's declaration."""
    module = AnsibleModule(argument_spec=dict(CONNECTION_OPTIONS, **MAIL_OPTIONS), supports_check_mode=True)
    mail = without_unset({name: module.params[name] for name in MAIL_OPTIONS})
    owner = mail.pop("owner", "")
    declare(module, {"owner": owner, "settings": {"mail": mail}})


if __name__ == "__main__":
    main()
