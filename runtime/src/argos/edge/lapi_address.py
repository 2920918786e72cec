"""Where CrowdSec's local API is: one answer for Caddy's bouncer, Argos's own client and the doctor."""

from __future__ import annotations


def lapi_url(declared: str | None, of_this_machine: str) -> str:
    """LAPI's address.

    Args:
        declared: ``settings.crowdsec.lapi_url``, empty or None where it is left out.
        of_this_machine: ``ARGOS_LAPI_URL``, which the playbook knows.
    """
    return declared or of_this_machine
