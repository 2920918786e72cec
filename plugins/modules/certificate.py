#!/usr/bin/python
# Copyright (c) 2026, The Argos developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: certificate
short_description: Give the edge a certificate of your own, or remove it
version_added: 0.1.0
description:
  - Declares one certificate for hosts with C(tls.mode) V(manual). Other certificates stay as they are.
  - Store the private key with M(argos.edge.secret) or C(argos secret set), and refer to it by name here.
  - The key must match the certificate, the chain must be in order, and each host that uses it must be covered. A
    certificate that expires within 7 days is refused; within 30 days, the task warns.
  - Declaring another certificate under the same name replaces it at once, without a restart.
  - A certificate that a host uses cannot be removed.
author:
  - The Argos developers (@argos-edge)
extends_documentation_fragment:
  - argos.edge.certificate
  - argos.edge.connection
  - argos.edge.attributes
seealso:
  - module: argos.edge.host
  - module: argos.edge.dns_provider
"""

EXAMPLES = r"""
- name: Give the edge your own certificate
  argos.edge.certificate:
    name: home-wildcard
    certificate: "{{ lookup('ansible.builtin.file', 'home.example.chain.pem') }}"
    key: {secret: home-wildcard-key}

- name: Serve a host with it
  argos.edge.host:
    name: photos.home.example
    upstreams: [{url: "http://192.0.2.20:2342"}]
    tls: {mode: manual, certificate: home-wildcard}

- name: Remove it
  argos.edge.certificate:
    name: home-wildcard
    state: absent
"""

RETURN = r"""
changes:
  description: The change, empty when the certificate already matches.
  returned: success
  type: list
  elements: dict
  sample:
    - kind: certificate
      name: home-wildcard
      action: create
      before: null
      after:
        certificate: "-----BEGIN CERTIFICATE-----\n..."
        key:
          secret: home-wildcard-key
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
from ansible_collections.argos.edge.plugins.module_utils.declared_options import CERTIFICATE_OPTIONS


def main():
    """Plan or apply one certificate's declaration."""
    module = AnsibleModule(argument_spec=dict(CONNECTION_OPTIONS, **CERTIFICATE_OPTIONS), supports_check_mode=True)
    certificate = without_unset({name: module.params[name] for name in CERTIFICATE_OPTIONS})
    owner = certificate.pop("owner", "")
    declare(module, {"owner": owner, "certificates": [certificate]})


if __name__ == "__main__":
    main()
