#!/usr/bin/python
# Copyright (c) 2026, The Argos developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: secret
short_description: Store, replace or remove a secret that declarations refer to by name
version_added: 0.1.0
description:
  - Writes one named secret into the vault. It is never read back. The guest itself compares it with the stored value,
    in constant time.
  - Everything that uses the secret has the new value when the task ends. Nothing is restarted.
  - A secret that a declared resource uses cannot be removed; the task fails and names the resource.
options:
  name:
    description:
      - The secret's name, 1 to 63 characters of C(a-z), C(0-9) and V(-), beginning with a letter or digit.
    type: str
    required: true
  value:
    description:
      - The value, at most 64 KiB. Needed unless O(state=absent).
      - A value that is used in a header must be one line.
    type: str
  state:
    description:
      - Whether the secret exists.
    type: str
    choices: [present, absent]
    default: present
author:
  - The Argos developers (@argos-edge)
extends_documentation_fragment:
  - argos.edge.connection
  - argos.edge.attributes
seealso:
  - module: argos.edge.host
  - module: argos.edge.config
"""

EXAMPLES = r"""
- name: Store the token of a service behind the edge
  argos.edge.secret:
    name: photos-token
    value: "Bearer {{ vault_photos_token }}"

- name: Send it to the upstream
  argos.edge.host:
    name: photos.home.example
    upstreams: [{url: "http://192.0.2.20:2342"}]
    request_headers:
      set:
        Authorization: {secret: photos-token}

- name: Remove a secret that is no longer used
  argos.edge.secret:
    name: old-token
    state: absent
"""

RETURN = r"""
version:
  description: Number of values that the secret has had. In check mode, what it would be.
  returned: when O(state=present)
  type: int
  sample: 2
"""

from urllib.parse import quote

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.argos.edge.plugins.module_utils.admin_api import CONNECTION_OPTIONS, AdminApiError
from ansible_collections.argos.edge.plugins.module_utils.declaration import answer_of

OPTIONS = {
    "name": {"type": "str", "required": True},
    "value": {"type": "str", "no_log": True},
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
}


def change(api, params, check):
    """Return the runtime's answer."""
    path = "/v1/secrets/%s%s" % (quote(params["name"], safe=""), "?check=true" if check else "")
    if params["state"] == "present":
        return api.put(path, {"value": params["value"]})
    try:
        return api.delete(path)
    except AdminApiError as error:
        if error.status != 404:
            raise
        return {"changed": False}


def as_created(params):
    """Return the answer for a machine without a runtime: the secret's first value."""
    return {"changed": True, "version": 1} if params["state"] == "present" else {"changed": False}


def main():
    """Plan or make one secret's change."""
    module = AnsibleModule(
        argument_spec=dict(CONNECTION_OPTIONS, **OPTIONS),
        required_if=[("state", "present", ["value"])],
        supports_check_mode=True,
    )
    name = module.params["name"]
    answer = answer_of(module, "secret", change, as_created)
    diff = {}
    if answer["changed"]:
        # Never the values: what can be said is that there is one, and that it is another one.
        after = "a value, version %s" % answer["version"] if "version" in answer else "no value"
        diff = {"before_header": "secret/%s" % name, "after_header": "secret/%s" % name}
        diff["before"] = "no value\n" if answer.get("version") == 1 else "another value\n"
        diff["after"] = after + "\n"
    module.exit_json(diff=diff, **answer)


if __name__ == "__main__":
    main()
