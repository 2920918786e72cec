"""CrowdSec's credentials in the runtime's vault, as role runtime puts them there."""

from __future__ import annotations

import json

from hostile_lapi import KEY, LOGIN, PASSWORD
from panel_runtime import Runtime


def give_credentials(runtime: Runtime, *, login: str = LOGIN, password: str = PASSWORD, key: str = KEY) -> None:
    """Store them, as role runtime does."""
    for name, value in (
        ("crowdsec-machine", json.dumps({"login": login, "password": password})),
        ("crowdsec-bouncer-key", key),
    ):
        answer = runtime.admin("PUT", f"/v1/secrets/{name}", {"value": value})
        assert answer.status_code == 200, answer.text
