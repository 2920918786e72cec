#!/usr/bin/python
# Copyright (c) 2026, The Argos developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: decision_info
short_description: List the bans of an edge
version_added: 0.1.0
description:
  - Returns the CrowdSec decisions in force, newest first. If several filters are given, all must match.
author:
  - The Argos developers (@argos-edge)
options:
  ip:
    description:
      - Decisions on this address, and on ranges that contain it.
    type: str
  range:
    description:
      - Decisions that overlap this range.
    type: str
  origin:
    description:
      - Decisions of this origin. V(argos) made with Argos, V(crowdsec) by CrowdSec itself, V(cscli) with its command
        line, V(CAPI) and V(lists) from subscribed lists.
    type: str
  scenario:
    description:
      - Decisions whose scenario or reason contains this text. Case does not matter.
    type: str
  limit:
    description:
      - Maximum number of decisions, 1 to 1000.
    type: int
    default: 100
  offset:
    description:
      - Number of newest decisions to skip.
    type: int
    default: 0
extends_documentation_fragment:
  - argos.edge.connection
  - argos.edge.attributes.info
seealso:
  - module: argos.edge.decision
"""

EXAMPLES = r"""
- name: Read the bans of an address
  argos.edge.decision_info:
    ip: 203.0.113.7
  register: against

- name: Fail if the monitoring is banned
  ansible.builtin.assert:
    that: against.decisions | length == 0

- name: Read the bans that were made here
  argos.edge.decision_info:
    origin: argos
"""

RETURN = r"""
decisions:
  description: The decisions. C(seconds) is the time left, C(scenario) the scenario, or the reason given by hand.
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
  description: How many decisions match the filters, including those not in RV(decisions).
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
