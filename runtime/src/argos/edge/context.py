"""Where things are on the guest, as the rendering needs to know it."""

from __future__ import annotations

from typing import Literal

import msgspec

from argos.settings import Settings

CREDENTIAL_PREFIX = "secret-"


class RenderContext(msgspec.Struct, frozen=True):
    """Paths, ports and cookie names of one guest; the defaults are docs/architecture.md's."""

    mode: Literal["behind_caddy", "lan"] = "behind_caddy"
    http_port: int = 80
    https_port: int = 443
    panel_port: int = 9080
    """Only in ``lan``, where the panel listens by itself."""
    admin_socket: str = "/run/argos-caddy/admin.sock"
    gate_socket: str = "/run/argos-gate/gate.sock"
    panel_socket: str = "/run/argos-panel/panel.sock"
    credentials_dir: str = "/run/argos-credentials"
    storage_dir: str = "/var/lib/argos-caddy"
    edge_dir: str = "/var/lib/argos-edge"
    access_log: str = "/var/log/argos-caddy/access.log"
    waf_log: str = "/var/log/argos-caddy/waf.log"
    acme_ca: str = ""
    """Directory of the ACME CA that stands before every declared one."""
    acme_ca_root: str = ""
    """File of the roots that vouch for it; the system's when empty."""
    lapi_url: str = "http://127.0.0.1:8080"
    """CrowdSec's LAPI while none is declared."""
    renewal_check: str = ""
    """How often Caddy looks whether to renew (Go's notation); its own 10 min when empty."""
    linger: str = "8h"
    """How long WebSockets and downloads go on after a reload, under the configuration that they began under. One that
    is still needed keeps its memory: 16 KB a host, 5 MB at 300. A stop of Caddy is cut short by systemd long before."""

    @property
    def crowdsec_state(self) -> str:
        """The file that holds known bans over a restart."""
        return f"{self.storage_dir}/crowdsec/decisions.json"

    @property
    def edge_cookie(self) -> str:
        """The cookie of published hosts; ``lan`` speaks plain HTTP, which no prefix survives."""
        return "__Secure-argos_session" if self.mode == "behind_caddy" else "argos_session"

    def panel_url(self, panel_host: str) -> str:
        """The panel's address, without a trailing slash."""
        if self.mode == "lan":
            return f"http://{panel_host}:{self.panel_port}"
        return f"https://{panel_host}" + ("" if self.https_port == 443 else f":{self.https_port}")

    def credential(self, name: str) -> str:
        """Caddy's placeholder for a credential file."""
        return f"{{file.{self.credentials_dir}/{name}}}"

    def secret(self, name: str) -> str:
        """Caddy's placeholder for an operator's named secret."""
        return self.credential(CREDENTIAL_PREFIX + name)


def context_of(settings: Settings) -> RenderContext:
    """The rendering's view of the runtime's settings."""
    return RenderContext(
        mode=settings.mode,
        panel_port=settings.panel_listen[1],
        admin_socket=str(settings.caddy_socket),
        gate_socket=str(settings.gate_socket),
        panel_socket=str(settings.panel_socket),
        credentials_dir=str(settings.credentials_dir),
        storage_dir=str(settings.caddy_storage),
        edge_dir=str(settings.edge_dir),
        access_log=str(settings.access_log),
        waf_log=str(settings.waf_log),
        lapi_url=settings.lapi_url,
        acme_ca=settings.acme_ca,
        acme_ca_root=str(settings.acme_ca_root or ""),
    )
