"""Where certificates come from."""

from __future__ import annotations

from typing import Literal

import msgspec

TlsMode = Literal["internal", "auto", "off"]


class Tls(msgspec.Struct, frozen=True):
    """Where a host's certificate comes from: Caddy's own CA, ACME, or none."""

    mode: TlsMode = "internal"
    email: str = ""
