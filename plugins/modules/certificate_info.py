#!/usr/bin/python
# Copyright (c) 2026, The Argos developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: certificate_info
short_description: List the certificates of an edge, with expiry dates and errors
version_added: 0.1.0
description:
  - Returns one entry for each name that is served over TLS, and for each certificate of your own that no host uses.
    The information comes from Caddy itself.
  - The result contains no keys and no certificates.
author:
  - The Argos developers (@argos-edge)
options:
  name:
    description:
      - The name to read. All names when left out.
    type: str
extends_documentation_fragment:
  - argos.edge.connection
  - argos.edge.attributes.info
seealso:
  - module: argos.edge.certificate
  - module: argos.edge.host
"""

EXAMPLES = r"""
- name: Read every certificate
  argos.edge.certificate_info:
  register: served

- name: Fail if one is missing, has expired or cannot be renewed
  ansible.builtin.assert:
    that: served.certificates | selectattr('condition', 'in', ['missing', 'expired', 'failing']) | length == 0

- name: Wait until the CA has signed for a new host
  argos.edge.certificate_info:
    name: photos.home.example
  register: photos
  until: photos.certificates | selectattr('condition', 'eq', 'valid') | length > 0
  retries: 30
  delay: 2
"""

RETURN = r"""
certificates:
  description:
    - One entry for each name, sorted by name. Times are seconds since the Unix epoch.
    - C(source) is V(internal), V(auto) or V(manual). C(condition) is V(valid), V(expiring), V(failing) (valid, but the
      last renewal failed), V(expired), V(missing) or V(unused). C(error) is why the last attempt failed.
  returned: success
  type: list
  elements: dict
  sample:
    - name: photos.home.example
      source: auto
      certificate: ""
      condition: valid
      issuer: R11
      not_before: 1800000000
      not_after: 1807776000
      renew_at: 1805184000
      error: ""
      failed_at: null
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.argos.edge.plugins.module_utils.admin_api import (
    CONNECTION_OPTIONS,
    AdminApi,
    AdminApiError,
)


def main():
    """Read one name's certificate or all."""
    module = AnsibleModule(argument_spec=dict(CONNECTION_OPTIONS, name={"type": "str"}), supports_check_mode=True)
    try:
        found = AdminApi(module.params["socket"]).get("/v1/certificates")["certificates"]
    except AdminApiError as error:
        module.fail_json(msg=str(error), errors=error.errors, code=error.code)
    name = module.params["name"]
    module.exit_json(changed=False, certificates=[one for one in found if name in (None, one["name"])])


if __name__ == "__main__":
    main()
