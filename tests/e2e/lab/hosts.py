"""The hosts that most tests use."""

from __future__ import annotations

from typing import Any

from lab.admin_api import Declaration


def standard_hosts(declared: Declaration) -> list[dict[str, Any]]:
    """Return the hosts of the suite: one for each thing that a host can be told to be."""
    return [
        declared.host("e2e-open"),
        declared.host("e2e-guarded", auth={"required": True}),
        declared.host("e2e-guarded-waf", auth={"required": True}, waf={"mode": "block"}),
        declared.host("e2e-block", waf={"mode": "block"}),
        declared.host("e2e-detect", waf={"mode": "detect"}),
        declared.host("e2e-limited", rate_limit={"requests": 5, "window": 30}),
    ]
