#!/usr/bin/python
# Copyright (c) 2026, The Argos developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: decision
short_description: Ban an address or a range, or lift the ban
version_added: 0.1.0
description:
  - Makes or ends CrowdSec decisions on one address or range. They take effect within 20 seconds, on every host and
    port.
  - While a ban with the same O(duration) and O(reason) is running, another run changes nothing and does not extend it.
    Once it has ended, the next run makes a new one. A different duration or reason replaces it by a ban that starts
    now. Decisions of other origins (CrowdSec's own, lists, C(cscli)) are left alone.
  - Refused without O(force) are private ranges, the machine's own addresses, declared proxies, addresses at which an
    administrator is signed in to the panel, and the one that the play's SSH connection comes from.
  - Addresses on O(argos.edge.config#module:settings.crowdsec.whitelist) cannot be banned, even with O(force).
author:
  - The Argos developers (@argos-edge)
options:
  value:
    description:
      - An address, or a range without host bits such as V(203.0.113.0/24), IPv4 or IPv6. A range may be as wide as
        C(/8), or C(/16) with IPv6.
    type: str
    required: true
  state:
    description:
      - V(present) bans. V(absent) ends every decision on exactly this O(value), of any origin. The task warns if a
        wider range still bans it. A subscribed list may ban it again at its next update; to let an address in
        for good, add it to the whitelist.
    type: str
    choices: [present, absent]
    default: present
  scope:
    description:
      - Whether O(value) is one address or a range. Derived from the value; if given, it must match.
    type: str
    choices: [ip, range]
  duration:
    description:
      - Duration of the ban, from when it is made, such as V(30m), V(4h), V(7d) or V(1h30m). From V(1m) to V(8760h).
    type: str
    default: 4h
  reason:
    description:
      - The reason, one line of at most 200 characters. CrowdSec stores it with the ban.
    type: str
    default: banned by Ansible
  force:
    description:
      - Also ban what would otherwise be refused, for example your own address.
    type: bool
    default: false
extends_documentation_fragment:
  - argos.edge.connection
  - argos.edge.attributes
seealso:
  - module: argos.edge.decision_info
  - module: argos.edge.config
"""

EXAMPLES = r"""
- name: Ban a scanner for a week
  argos.edge.decision:
    value: 203.0.113.7
    duration: 7d
    reason: scans every night

- name: Ban a whole network for a day
  argos.edge.decision:
    value: 2001:db8:bad::/48
    duration: 1d
    reason: credential stuffing

- name: Lift a ban
  argos.edge.decision:
    value: 203.0.113.7
    state: absent

- name: Never ban the office, whatever CrowdSec decides
  argos.edge.config:
    settings:
      crowdsec:
        whitelist:
          - {value: 198.51.100.20, reason: the office}
"""

RETURN = r"""
before:
  description:
    - The ban made here as it was, null when there was none. With O(state=absent), all decisions on the value.
  returned: when the runtime answers
  type: dict
  sample:
    value: 203.0.113.7
    scope: ip
    duration: 4h
    reason: scans every night
after:
  description: The ban as it is now, or in check mode would be; null when there is none.
  returned: when the runtime answers
  type: dict
  sample:
    value: 203.0.113.7
    scope: ip
    duration: 7d
    reason: scans every night
"""

from urllib.parse import quote

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.argos.edge.plugins.module_utils.admin_api import CONNECTION_OPTIONS
from ansible_collections.argos.edge.plugins.module_utils.caller import ssh_peers
from ansible_collections.argos.edge.plugins.module_utils.declaration import answer_of, diff_of

OPTIONS = {
    "value": {"type": "str", "required": True},
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "scope": {"type": "str", "choices": ["ip", "range"]},
    "duration": {"type": "str", "default": "4h"},
    "reason": {"type": "str", "default": "banned by Ansible"},
    "force": {"type": "bool", "default": False},
}


def change(api, params, check):
    """Return the runtime's answer: changed, before, after, warnings."""
    if params["state"] == "present":
        wanted = {name: params[name] for name in ("value", "scope", "duration", "reason", "force")}
        wanted["caller_addresses"] = ssh_peers()
        return api.put("/v1/decisions%s" % ("?check=true" if check else ""), wanted)
    query = "?value=%s" % quote(params["value"], safe="")
    if params["scope"]:
        query += "&scope=%s" % params["scope"]
    return api.delete("/v1/decisions%s%s" % (query, "&check=true" if check else ""))


def as_created(params):
    """Return the answer for a machine without a runtime: the ban as asked for."""
    if params["state"] == "absent":
        return {"changed": False, "before": None, "after": None}
    shown = {name: params[name] for name in ("value", "scope", "duration", "reason") if params[name] is not None}
    return {"changed": True, "before": None, "after": shown}


def main():
    """Plan or make one decision's change."""
    module = AnsibleModule(argument_spec=dict(CONNECTION_OPTIONS, **OPTIONS), supports_check_mode=True)
    answer = answer_of(module, "decision", change, as_created)
    name = module.params["value"]
    changes = [dict(answer, kind="decision", name=name)] if answer["changed"] else []
    module.exit_json(diff=diff_of(changes), **{key: answer[key] for key in ("changed", "before", "after")})


if __name__ == "__main__":
    main()
