#!/usr/bin/python
# Copyright (c) 2026, The Argos developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: audit_info
short_description: Read and verify the audit log of an edge
version_added: 0.1.0
description:
  - Returns the rows of the audit log that match all filters, newest first. No row contains a secret.
options:
  kind:
    description:
      - How the change was made. With V(ansible), V(socket) and V(cli), the actor's name is a claim.
    type: str
    choices: [person, token, ansible, socket, cli, system]
  actor:
    description:
      - Part of the actor's name.
    type: str
  action:
    description:
      - Beginning of the action, such as V(user.) or V(config.apply).
    type: str
  target:
    description:
      - Part of the target, such as V(host/photos).
    type: str
  address:
    description:
      - Beginning of the client's address.
    type: str
  text:
    description:
      - Part of the action, the target, or the values before or after.
    type: str
  since:
    description:
      - A date, a time, or seconds since 1970, inclusive. UTC unless the time says otherwise.
    type: str
  until:
    description:
      - A date, a time, or seconds since 1970, exclusive.
    type: str
  limit:
    description:
      - Maximum number of rows, 1 to 500.
    type: int
    default: 50
  verify:
    description:
      - Also verify the whole audit log against its checkpoints.
    type: bool
    default: false
author:
  - The Argos developers (@argos-edge)
extends_documentation_fragment:
  - argos.edge.connection
  - argos.edge.attributes.info
"""

EXAMPLES = r"""
- name: Read who changed accounts this month
  argos.edge.audit_info:
    action: user.
    since: "2026-11-01"
  register: record

- name: Fail if the audit log was altered
  argos.edge.audit_info:
    verify: true
    limit: 1
  register: record
  failed_when: not record.verdict.sound
"""

RETURN = r"""
entries:
  description: The rows, newest first.
  returned: success
  type: list
  elements: dict
  sample:
    - id: 42
      time: "2026-11-23T18:00:00Z"
      at: 1795456800
      actor: {kind: ansible, name: carol, claim: true}
      address: ""
      action: user.update
      target: user/bob
      before: {role: member}
      after: {role: admin}
verdict:
  description: Whether the audit log is intact.
  returned: when O(verify) is true
  type: dict
  sample: {sound: true, broken: null, rows: 42, first: 1, reason: "", note: ""}
"""

from urllib.parse import urlencode

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.argos.edge.plugins.module_utils.admin_api import (
    CONNECTION_OPTIONS,
    AdminApi,
    AdminApiError,
)

TEXTS = ("actor", "action", "target", "address", "text", "since", "until")
OPTIONS = {
    "kind": {"type": "str", "choices": ["person", "token", "ansible", "socket", "cli", "system"]},
    "actor": {"type": "str"},
    "action": {"type": "str"},
    "target": {"type": "str"},
    "address": {"type": "str"},
    "text": {"type": "str"},
    "since": {"type": "str"},
    "until": {"type": "str"},
    "limit": {"type": "int", "default": 50},
    "verify": {"type": "bool", "default": False},
}


def main():
    """Read one page of the record."""
    module = AnsibleModule(argument_spec=dict(CONNECTION_OPTIONS, **OPTIONS), supports_check_mode=True)
    api = AdminApi(module.params["socket"], timeout=300)
    wanted = {name: module.params[name] for name in ("kind", *TEXTS) if module.params[name]}
    wanted["limit"] = module.params["limit"]
    try:
        answer = {"entries": api.get("/v1/audit?%s" % urlencode(wanted))["entries"]}
        if module.params["verify"]:
            answer["verdict"] = api.get("/v1/audit/verify")
    except AdminApiError as error:
        module.fail_json(msg=str(error), errors=error.errors, code=error.code)
    module.exit_json(changed=False, **answer)


if __name__ == "__main__":
    main()
