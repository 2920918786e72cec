#!/usr/bin/python
# Copyright (c) 2026, The Argos developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: decision_info
short_description: Read whom an edge keeps out
version_added: 0.1.0
description:
  - Returns CrowdSec's decisions in force, the newest first. Filters that are given together must all hold.
author:
  - The Argos developers (@argos-edge)
options:
  ip:
    description:
      - Decisions on this address, and on ranges around it.
    type: str
  range:
    description:
      - Decisions that overlap this range.
    type: str
  origin:
    description:
      - Decisions of this origin. V(argos) are those made here, V(crowdsec) its own, V(cscli) by its command line,
        V(CAPI) and V(lists) from subscribed lists.
    type: str
  scenario:
    description:
      - Decisions whose scenario, or reason, holds this text; case does not matter.
    type: str
  limit:
    description:
      - At most so many, 1 to 1000.
    type: int
    default: 100
  offset:
    description:
      - Leave out so many of the newest.
    type: int
    default: 0
extends_documentation_fragment:
  - argos.edge.connection
  - argos.edge.attributes.info
seealso:
  - module: argos.edge.decision
"""

EXAMPLES = r"""
- name: Read what stands against an address
  argos.edge.decision_info:
    ip: 203.0.113.7
  register: against

- name: Stop when the monitoring is kept out
  ansible.builtin.assert:
    that: against.decisions | length == 0

- name: Read the bans that were made here
  argos.edge.decision_info:
    origin: argos
"""

RETURN = r"""
decisions:
  description: The decisions. C(seconds) is what is left of each, C(scenario) the reason of one that was made by hand.
  returned: success
  type: list
  elements: dict
  sample:
    - id: 7
      value: 203.0.113.7
      scope: ip
      type: ban
      origin: argos
      scenario: scans every night
      seconds: 604790
total:
  description: How many there are with these filters, beyond RV(decisions) too.
  returned: success
  type: int
  sample: 1
"""

from urllib.parse import urlencode

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.argos.edge.plugins.module_utils.admin_api import (
    CONNECTION_OPTIONS,
    AdminApi,
    AdminApiError,
)

OPTIONS = {
    "ip": {"type": "str"},
    "range": {"type": "str"},
    "origin": {"type": "str"},
    "scenario": {"type": "str"},
    "limit": {"type": "int", "default": 100},
    "offset": {"type": "int", "default": 0},
}


def main():
    """Read the decisions that the filters ask for."""
    module = AnsibleModule(argument_spec=dict(CONNECTION_OPTIONS, **OPTIONS), supports_check_mode=True)
    query = {name: module.params[name] for name in OPTIONS if module.params[name] is not None}
    try:
        answer = AdminApi(module.params["socket"]).get("/v1/decisions?%s" % urlencode(query))
    except AdminApiError as error:
        module.fail_json(msg=str(error), errors=error.errors, code=error.code)
    module.exit_json(changed=False, decisions=answer["decisions"], total=answer["total"])


if __name__ == "__main__":
    main()
