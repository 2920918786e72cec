#!/usr/bin/python
# Copyright (c) 2026, The Argos developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: user
short_description: Create, change or remove a person's account
version_added: 0.1.0
description:
  - Declares one account. Other accounts stay as they are. Options that the task leaves out keep their values; a new
    account gets the defaults.
  - A change of O(role), O(groups), O(disabled), O(password) or O(second_factor) ends the person's sign-ins at once, on
    the panel and on every protected host.
  - The last enabled administrator cannot be removed, disabled or made a member.
author:
  - The Argos developers (@argos-edge)
options:
  username:
    description:
      - The account's name, which identifies it. Case does not matter.
    type: str
    required: true
  state:
    description:
      - Whether the account exists.
    type: str
    choices: [present, absent]
    default: present
  name:
    description:
      - The name to show for the person, which upstreams get as C(X-Auth-Name).
    type: str
  email:
    description:
      - The e-mail address, which upstreams get as C(X-Auth-Email). An address that is set here counts as
        verified, so hosts' rules about e-mail addresses apply to it.
    type: str
  role:
    description:
      - V(admin) may use the panel and change everything, V(member) passes protected hosts and sees only their own
        account. A new account is a V(member).
    type: str
    choices: [admin, member]
  groups:
    description:
      - All groups that the person is in. A name is 1 to 63 characters of C(a-z), C(0-9), V(.), V(_) and V(-),
        beginning with a letter or digit. At most 64.
    type: list
    elements: str
  disabled:
    description:
      - Whether the account is disabled.
    type: bool
  password:
    description:
      - The password. The guest itself compares it with the stored one; it is never read back or shown.
      - A new account without a password signs in with a provider, or after the person has set one with a O(link).
    type: str
  update_password:
    description:
      - V(always) sets O(password) whenever the account has a different one, even if the person has changed it.
        V(on_create) sets it only when the account is created.
    type: str
    choices: [always, on_create]
    default: always
  must_change_password:
    description:
      - Whether the person must choose a new password at the next sign-in. Only takes effect when this task sets the
        password. Best used with O(update_password=on_create).
    type: bool
    default: false
  second_factor:
    description:
      - V(disabled) removes the person's second factor and recovery codes, for somebody who has lost both. Only the
        person can set one up. A task that keeps this option removes a new second factor each time it runs.
    type: str
    choices: [disabled]
  link:
    description:
      - V(on_create) creates, together with a new account, a link with which the person sets a password once, within 24
        hours. Only the task that creates the account returns it, as RV(link).
      - Cannot be combined with O(password).
      - The link is a credential. Set C(no_log=true) on the task, because Ansible prints and logs the result otherwise.
        A later task can pass it on from the registered result.
      - The panel and C(argos user reset-password --link) create a new link for an existing account.
    type: str
    choices: [on_create]
extends_documentation_fragment:
  - argos.edge.connection
  - argos.edge.attributes
seealso:
  - module: argos.edge.user_info
  - module: argos.edge.host
"""

EXAMPLES = r"""
- name: Make Alice an administrator, who chooses her own password at the first sign-in
  argos.edge.user:
    username: alice
    name: Alice Example
    email: alice@home.example
    role: admin
    groups: [family]
    password: "{{ vault_alice_first_password }}"
    update_password: on_create
    must_change_password: true

- name: Put Bob into the groups family and photos only
  argos.edge.user:
    username: bob
    email: bob@home.example
    groups: [family, photos]

- name: Only the group family may enter the photos
  argos.edge.host:
    name: photos.home.example
    upstreams: [{url: "http://192.0.2.20:2342"}]
    auth: {required: true, groups: [family]}

- name: Create an account whose password Carol sets herself; the link is not printed
  argos.edge.user:
    username: carol
    email: carol@home.example
    link: on_create
  register: carol
  no_log: true

- name: Save the link where only you can read it, to send it to her
  ansible.builtin.copy:
    content: "{{ carol.link }}"
    dest: ~/carol.link
    mode: "0600"
  delegate_to: localhost
  when: carol.link is defined
  no_log: true

- name: Turn off Bob's second factor, as he has lost his phone and his recovery codes
  argos.edge.user:
    username: bob
    second_factor: disabled

- name: Disable an account for a while, and end its sign-ins
  argos.edge.user:
    username: bob
    disabled: true

- name: Remove an account
  argos.edge.user:
    username: carol
    state: absent
"""

RETURN = r"""
before:
  description: The account as it was, null when there was none. For the password it only says whether one is set.
  returned: when the runtime answers
  type: dict
  sample:
    username: bob
    name: Bob
    email: bob@home.example
    email_verified: true
    role: member
    groups: [family]
    disabled: false
    password: "set"
    second_factor: enabled
after:
  description: The account as it is now, or in check mode would be; null when there is none.
  returned: when the runtime answers
  type: dict
  sample:
    username: bob
    name: Bob
    email: bob@home.example
    email_verified: true
    role: member
    groups: [family, photos]
    disabled: false
    password: "set"
    second_factor: disabled
link:
  description: The address where the person sets a password once. It is a credential and cannot be read again.
  returned: when O(link=on_create) created the account
  type: str
  sample: https://argos.home.example/welcome?token=43-characters
link_seconds:
  description: How long RV(link) works.
  returned: when O(link=on_create) created the account
  type: int
  sample: 86400
"""

from urllib.parse import quote

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.argos.edge.plugins.module_utils.admin_api import CONNECTION_OPTIONS, AdminApiError
from ansible_collections.argos.edge.plugins.module_utils.declaration import answer_of, diff_of

SHOWN = ("name", "email", "role", "groups", "disabled")
DECLARED = SHOWN + ("password", "update_password", "must_change_password", "second_factor", "link")
OPTIONS = {
    "username": {"type": "str", "required": True},
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "name": {"type": "str"},
    "email": {"type": "str"},
    "role": {"type": "str", "choices": ["admin", "member"]},
    "groups": {"type": "list", "elements": "str"},
    "disabled": {"type": "bool"},
    "password": {"type": "str", "no_log": True},
    # When a password is set, and that another one must be chosen: neither is a secret.
    "update_password": {"type": "str", "choices": ["always", "on_create"], "default": "always", "no_log": False},
    "must_change_password": {"type": "bool", "default": False, "no_log": False},
    "second_factor": {"type": "str", "choices": ["disabled"]},
    "link": {"type": "str", "choices": ["on_create"]},
}


def change(api, params, check):
    """Return the runtime's answer: changed, before, after."""
    path = "/v1/users/%s%s" % (quote(params["username"], safe=""), "?check=true" if check else "")
    if params["state"] == "present":
        return api.put(path, {name: params[name] for name in DECLARED if params[name] is not None})
    try:
        return api.delete(path)
    except AdminApiError as error:
        if error.status != 404:
            raise
        return {"changed": False, "before": None, "after": None}


def as_created(params):
    """Return the answer for a machine without a runtime: the account as declared."""
    if params["state"] == "absent":
        return {"changed": False, "before": None, "after": None}
    shown = {name: params[name] for name in SHOWN if params[name] is not None}
    return {"changed": True, "before": None, "after": dict(shown, username=params["username"])}


def main():
    """Plan or make one account's change."""
    module = AnsibleModule(
        argument_spec=dict(CONNECTION_OPTIONS, **OPTIONS),
        supports_check_mode=True,
        mutually_exclusive=[("password", "link")],
    )
    answer = answer_of(module, "account", change, as_created)
    changes = [dict(answer, kind="user", name=module.params["username"])] if answer["changed"] else []
    module.exit_json(diff=diff_of(changes), **answer)


if __name__ == "__main__":
    main()
