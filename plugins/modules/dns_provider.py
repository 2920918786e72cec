#!/usr/bin/python
# Copyright (c) 2026, The Argos developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: dns_provider
short_description: Declare a DNS provider for the ACME DNS challenge
version_added: 0.1.0
description:
  - Declares one account at Cloudflare or Route 53, for hosts with C(tls.challenge) V(dns). Other accounts stay as they
    are. Wildcard certificates need this challenge.
  - Store the credentials with M(argos.edge.secret) or C(argos secret set), and refer to them by name here.
  - A provider that a host uses cannot be removed.
author:
  - The Argos developers (@argos-edge)
extends_documentation_fragment:
  - argos.edge.dns_provider
  - argos.edge.connection
  - argos.edge.attributes
seealso:
  - module: argos.edge.host
  - module: argos.edge.certificate
"""

EXAMPLES = r"""
- name: Use Cloudflare, and query its own resolver
  argos.edge.dns_provider:
    name: cloudflare
    type: cloudflare
    api_token: {secret: cloudflare-token}
    resolvers: [1.1.1.1]

- name: Use Route 53
  argos.edge.dns_provider:
    name: route53
    type: route53
    region: eu-central-1
    access_key_id: AKIAIOSFODNN7EXAMPLE
    secret_access_key: {secret: route53-key}

- name: Publish a wildcard host with it
  argos.edge.host:
    name: "*.home.example"
    upstreams: [{url: "http://192.0.2.20:8080"}]
    tls: {mode: auto, challenge: dns, dns_provider: cloudflare, email: admin@home.example}
"""

RETURN = r"""
changes:
  description: The change, empty when the DNS provider already matches.
  returned: success
  type: list
  elements: dict
  sample:
    - kind: dns_provider
      name: cloudflare
      action: create
      before: null
      after:
        type: cloudflare
        api_token:
          secret: cloudflare-token
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
from ansible_collections.argos.edge.plugins.module_utils.declared_options import DNS_PROVIDER_OPTIONS


def main():
    """Plan or apply one DNS provider's declaration."""
    module = AnsibleModule(argument_spec=dict(CONNECTION_OPTIONS, **DNS_PROVIDER_OPTIONS), supports_check_mode=True)
    dns_provider = without_unset({name: module.params[name] for name in DNS_PROVIDER_OPTIONS})
    owner = dns_provider.pop("owner", "")
    declare(module, {"owner": owner, "dns_providers": [dns_provider]})


if __name__ == "__main__":
    main()
