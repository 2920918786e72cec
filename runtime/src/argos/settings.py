"""The runtime's settings, from environment variables; each error names its variable."""

from __future__ import annotations

import base64
import binascii
import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from argos.errors import ArgosError

Mode = Literal["behind_caddy", "lan"]
MASTER_KEY_BYTES = 32
LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")


class BadSetting(ArgosError):
    """An environment variable is missing or wrong. The message never quotes a secret one's value."""

    def __init__(self, variable: str, problem: str, expected: str) -> None:
        self.variable = variable
        self.problem = problem
        super().__init__(f"{variable}: {problem}; expected {expected}")


@dataclass(frozen=True)
class Settings:
    """Where everything is, and the master key. Defaults are the paths of docs/architecture.md."""

    mode: Mode = "behind_caddy"
    # SEC-3: not in repr, so that no traceback or log line shows it. None in processes that have no key, the gate first.
    master_key: bytes | None = field(default=None, repr=False)
    # During a rotation: the key that is to follow.
    master_key_next: bytes | None = field(default=None, repr=False)
    data_dir: Path = Path("/var/lib/argos")
    edge_dir: Path = Path("/var/lib/argos-edge")
    panel_socket: Path = Path("/run/argos-panel/panel.sock")
    panel_listen: tuple[str, int] = ("0.0.0.0", 9080)  # noqa: S104 - lan mode is for the whole network
    panel_hosts: tuple[str, ...] = ()
    admin_socket: Path = Path("/run/argos-admin/admin.sock")
    caddy_socket: Path = Path("/run/argos-caddy/admin.sock")
    gate_socket: Path = Path("/run/argos-gate/gate.sock")
    seen_socket: Path = Path("/run/argos-seen/seen.sock")
    epoch_file: Path = Path("/run/argos-epoch/epoch")
    credentials_dir: Path = Path("/run/argos-credentials")
    backup_dir: Path = Path("/var/lib/argos-backups")
    backup_request: Path = Path("/run/argos-backup/request")
    backup_keep_days: int = 14
    caddy_storage: Path = Path("/var/lib/argos-caddy")
    lapi_url: str = "http://127.0.0.1:8080"
    caddy_binary: Path = Path("/usr/bin/argos-caddy")
    access_log: Path = Path("/var/log/argos-caddy/access.log")
    acme_ca: str = ""
    acme_ca_root: Path | None = None
    log_level: str = "INFO"
    audit_days: int = 730
    """How long the record of changes is kept; 0: however old."""
    audit_rows: int = 1_000_000
    audit_journal: bool = False
    """Whether each row is copied to the journal too."""

    @property
    def waf_log(self) -> Path:
        """The WAF's event log, beside the access log."""
        return self.access_log.with_name("waf.log")

    @property
    def database(self) -> Path:
        """The SQLite file."""
        return self.data_dir / "argos.db"

    def require_master_key(self) -> bytes:
        """Return the 32 bytes of the master key.

        Raises:
            BadSetting: the process was started without one; it says which the data wants.
        """
        if self.master_key is None:
            raise BadSetting("ARGOS_MASTER_KEY", "is not set", _wanted_key(self.database))
        return self.master_key

    @classmethod
    def from_environment(cls, env: Mapping[str, str]) -> Settings:
        """Read the settings; a variable that is absent or empty keeps its default.

        Raises:
            BadSetting: naming the first variable that is wrong.
        """
        defaults = cls()
        data_dir = _path(env, "ARGOS_DATA_DIR", defaults.data_dir)
        return cls(
            mode=_mode(env),
            master_key=_master_key(env, cls(data_dir=data_dir).database),
            master_key_next=_next_master_key(env),
            data_dir=data_dir,
            edge_dir=_path(env, "ARGOS_EDGE_DIR", defaults.edge_dir),
            panel_socket=_path(env, "ARGOS_PANEL_SOCKET", defaults.panel_socket),
            panel_listen=_listen(env, defaults.panel_listen),
            panel_hosts=_hosts(env),
            admin_socket=_path(env, "ARGOS_ADMIN_SOCKET", defaults.admin_socket),
            caddy_socket=_path(env, "ARGOS_CADDY_SOCKET", defaults.caddy_socket),
            gate_socket=_path(env, "ARGOS_GATE_SOCKET", defaults.gate_socket),
            seen_socket=_path(env, "ARGOS_SEEN_SOCKET", defaults.seen_socket),
            epoch_file=_path(env, "ARGOS_EPOCH_FILE", defaults.epoch_file),
            credentials_dir=_path(env, "ARGOS_CREDENTIALS_DIR", defaults.credentials_dir),
            backup_dir=_path(env, "ARGOS_BACKUP_DIR", defaults.backup_dir),
            backup_request=_path(env, "ARGOS_BACKUP_REQUEST", defaults.backup_request),
            backup_keep_days=_days(env, "ARGOS_BACKUP_KEEP_DAYS", defaults.backup_keep_days),
            caddy_storage=_path(env, "ARGOS_CADDY_STORAGE", defaults.caddy_storage),
            lapi_url=_url(env, "ARGOS_LAPI_URL", defaults.lapi_url),
            caddy_binary=_path(env, "ARGOS_CADDY_BINARY", defaults.caddy_binary),
            access_log=_path(env, "ARGOS_ACCESS_LOG", defaults.access_log),
            acme_ca=_acme_ca(env),
            acme_ca_root=_path(env, "ARGOS_ACME_CA_ROOT", Path()) if env.get("ARGOS_ACME_CA_ROOT") else None,
            log_level=_log_level(env, defaults.log_level),
            audit_days=_number(env, "ARGOS_AUDIT_DAYS", defaults.audit_days, range(36_501)),
            audit_rows=_number(env, "ARGOS_AUDIT_ROWS", defaults.audit_rows, range(1000, 10_000_001)),
            audit_journal=_number(env, "ARGOS_AUDIT_JOURNAL", 0, range(2)) == 1,
        )


def decode_master_key(text: str, variable: str = "ARGOS_MASTER_KEY") -> bytes:
    """Decode a master key.

    Args:
        text: base64 (standard alphabet) of 32 bytes.
        variable: the name that an error gives.

    Raises:
        BadSetting: it is something else; the text is not quoted.
    """
    try:
        key = base64.b64decode(text.strip(), validate=True)
    except (binascii.Error, ValueError):
        raise BadSetting(variable, "is not base64", "base64 of 32 random bytes") from None
    if len(key) != MASTER_KEY_BYTES:
        raise BadSetting(variable, f"holds {len(key)} bytes", "base64 of 32 random bytes")
    return key


def _mode(env: Mapping[str, str]) -> Mode:
    value = env.get("ARGOS_MODE", "") or "behind_caddy"
    if value == "behind_caddy":
        return "behind_caddy"
    if value == "lan":
        return "lan"
    raise BadSetting("ARGOS_MODE", f"is {value!r}", "behind_caddy or lan")


def _master_key(env: Mapping[str, str], database: Path) -> bytes | None:
    value = env.get("ARGOS_MASTER_KEY", "")
    try:
        return decode_master_key(value) if value else None
    except BadSetting as error:
        problem = error.problem
    raise BadSetting("ARGOS_MASTER_KEY", problem, _wanted_key(database))


def _next_master_key(env: Mapping[str, str]) -> bytes | None:
    value = env.get("ARGOS_MASTER_KEY_NEXT", "")
    return decode_master_key(value, "ARGOS_MASTER_KEY_NEXT") if value else None


def _wanted_key(database: Path) -> str:
    """What is expected of the master key, by its id where there is data already."""
    from argos.doctor.key import wanted_ids

    ids = sorted(wanted_ids(database) or ())
    if not ids:
        return "base64 of 32 random bytes"
    return f"base64 of 32 bytes: the key with id {' or '.join(ids)}, which this database needs"


def _path(env: Mapping[str, str], variable: str, default: Path) -> Path:
    value = env.get(variable, "")
    if not value:
        return default
    if not value.startswith("/") or "\0" in value:
        raise BadSetting(variable, f"is {value!r}", f"an absolute path such as {default}")
    return Path(value)


def _listen(env: Mapping[str, str], default: tuple[str, int]) -> tuple[str, int]:
    value = env.get("ARGOS_PANEL_LISTEN", "")
    if not value:
        return default
    host, _unused, port = value.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    try:
        ipaddress.ip_address(host)
        number = int(port)
    except ValueError:
        number = 0
    if not 0 < number <= 65535:
        raise BadSetting("ARGOS_PANEL_LISTEN", f"is {value!r}", "address:port such as 0.0.0.0:9080 or [::]:9080")
    return host, number


def _hosts(env: Mapping[str, str]) -> tuple[str, ...]:
    names = [name.strip().lower() for name in env.get("ARGOS_PANEL_HOSTS", "").split(",")]
    for name in names:
        if name and not all(letter.isalnum() or letter in ".-:[]" for letter in name):
            raise BadSetting("ARGOS_PANEL_HOSTS", f"holds {name!r}", "host names separated by commas")
    return tuple(name for name in names if name)


def _url(env: Mapping[str, str], variable: str, default: str) -> str:
    value = env.get(variable, "") or default
    try:
        parts = urlsplit(value)
        usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        # The value may carry a password, so it is not quoted.
        raise BadSetting(variable, "is no http(s) URL", f"a URL such as {default}")
    return value.rstrip("/")


def _days(env: Mapping[str, str], variable: str, default: int) -> int:
    value = env.get(variable, "")
    if not value:
        return default
    if not value.isascii() or not value.isdigit() or not 1 <= int(value[:6]) <= 3650:
        raise BadSetting(variable, f"is {value[:32]!r}", "days from 1 to 3650")
    return int(value)


def _number(env: Mapping[str, str], variable: str, default: int, allowed: range) -> int:
    value = env.get(variable, "")
    if not value:
        return default
    if not (value.isascii() and value.isdigit() and len(value) < 10 and int(value) in allowed):
        raise BadSetting(variable, f"is {value!r}", f"a number from {allowed.start} to {allowed.stop - 1}")
    return int(value)


def _acme_ca(env: Mapping[str, str]) -> str:
    if not env.get("ARGOS_ACME_CA"):
        return ""
    value = _url(env, "ARGOS_ACME_CA", "https://acme-v02.api.letsencrypt.org/directory")
    # Caddy replaces placeholders in it.
    if not value.startswith("https://") or set(value) & set("{}"):
        raise BadSetting("ARGOS_ACME_CA", "is no https:// URL", "the directory of an ACME CA")
    return value


def _log_level(env: Mapping[str, str], default: str) -> str:
    value = (env.get("ARGOS_LOG_LEVEL", "") or default).upper()
    if value not in LOG_LEVELS:
        raise BadSetting("ARGOS_LOG_LEVEL", f"is {value!r}", "one of " + ", ".join(LOG_LEVELS))
    return value
