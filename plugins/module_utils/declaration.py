# Copyright (c) 2026, The Argos developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Declaring resources: one call to plan, or one to apply; no decision is made here."""

from __future__ import annotations

import json
from urllib.parse import quote

from ansible_collections.argos.edge.plugins.module_utils.admin_api import AdminApi, AdminApiError, RuntimeAbsent
from ansible_collections.argos.edge.plugins.module_utils.declared_options import KINDS


def without_unset(value):
    """Return ``value`` less the options that the playbook left out: the runtime owns the defaults."""
    if isinstance(value, dict):
        return {key: without_unset(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [without_unset(item) for item in value]
    return value


def diff_of(changes):
    """Return Ansible's diff, one entry for each changed resource."""
    return [
        {
            "before_header": "%s %s" % (change["kind"], change["name"]),
            "after_header": "%s %s" % (change["kind"], change["name"]),
            "before": _text(change.get("before")),
            "after": _text(change.get("after")),
        }
        for change in changes
    ]


def _text(spec):
    return "" if spec is None else json.dumps(spec, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def answer_of(module, what, change, as_asked):
    """Return what the runtime answers to a change, less its warnings, which it shows; a refusal ends the task.

    Args:
        module: the task's.
        what: which is changed, as a warning calls it.
        change: asks the runtime, given its API, the task's options, and whether only to look.
        as_asked: stands for the answer, given the options, in check mode on a virgin guest, which has no
            runtime yet: the argument specification alone has checked them then.
    """
    try:
        answer = change(AdminApi(module.params["socket"]), module.params, module.check_mode)
    except RuntimeAbsent as error:
        if not module.check_mode:
            module.fail_json(msg=str(error))
        module.warn("No runtime answers on this machine yet: the %s was checked by its types only." % what)
        answer = as_asked(module.params)
    except AdminApiError as error:
        module.fail_json(msg=str(error), errors=error.errors, code=error.code)
    for warning in answer.pop("warnings", []):
        module.warn(warning)
    return answer


def declare(module, document):
    """Plan (check mode) or apply ``document``, and leave by exit_json or fail_json."""
    headers = {"If-Match": module.params["etag"]} if module.params.get("etag") else None
    path = "/v1/config/plan" if module.check_mode else "/v1/config/apply"
    if module.check_mode and module.params.get("pending_secrets"):
        path += "?pending_secrets=%s" % quote(",".join(module.params["pending_secrets"]), safe=",")

    def change(api, _params, _check):
        return api.post(path, document, headers)

    def as_asked(_params):
        changes = _as_created(document)
        return {"changed": bool(changes), "changes": changes}

    answer = answer_of(module, "declaration", change, as_asked)
    result = {key: answer[key] for key in ("changed", "changes", "etag", "revision") if key in answer}
    module.exit_json(diff=diff_of(answer.get("changes", [])), **result)


def _as_created(document):
    changes = [
        {"kind": "settings", "name": name, "action": "create", "before": None, "after": spec}
        for name, spec in sorted((document.get("settings") or {}).items())
    ]
    for kind, field in KINDS.items():
        for resource in document.get(field) or []:
            if resource.get("state", "present") == "present":
                spec = {key: value for key, value in resource.items() if key not in ("name", "state")}
                changes.append(
                    {"kind": kind, "name": resource["name"], "action": "create", "before": None, "after": spec}
                )
    return changes
