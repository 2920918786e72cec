"""Every table of the runtime's database, and which of them the gate reads.

Times are whole seconds since the Unix epoch, UTC. Secrets stand only as sealed
envelopes of :mod:`argos.vault`; a token only as its SHA-256.

The gate opens this database read-only as another user and reads ``sessions``,
``users``, ``gate_hosts`` and ``gate_settings``. Within one upgrade, migrations
only add to those four, so that a gate of the previous version goes on deciding.
"""

from __future__ import annotations

from sqlalchemy import (
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    text,
)

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)

users = Table(
    "users",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("username", Text(collation="NOCASE"), nullable=False, unique=True),
    Column("name", Text, nullable=False, server_default=""),
    Column("email", Text, nullable=False, server_default=""),
    Column("role", Text, nullable=False),
    Column("provider", Text, nullable=False, server_default="local"),
    Column("password_hash", Text),  # bcrypt over the keyed pre-hash; NULL: no local sign-in
    Column("password_key_version", Integer),
    Column("must_change_password", Boolean, nullable=False, server_default=text("0")),
    Column("disabled", Boolean, nullable=False, server_default=text("0")),
    Column("created_at", Integer, nullable=False),
    Column("updated_at", Integer, nullable=False),
    Column("groups", Text, nullable=False, server_default="[]"),  # JSON list of names; the gate reads it
    Column("email_verified", Boolean, nullable=False, server_default=text("0")),
    CheckConstraint("role IN ('admin', 'member')", name="role"),
    sqlite_autoincrement=True,  # an id is never reused: audit rows name it for ever
)

# One sign-in is one row with two tokens: the panel's cookie and the published hosts' cookie.
# Deleting the row ends both.
sessions = Table(
    "sessions",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("user_id", Integer, ForeignKey("users.id", ondelete="CASCADE"), nullable=False),
    Column("panel_token_hash", LargeBinary(32), nullable=False, unique=True),
    Column("edge_token_hash", LargeBinary(32), nullable=False, unique=True),
    Column("assurance", Text, nullable=False),  # only 'full' passes anywhere
    Column("created_at", Integer, nullable=False),
    Column("last_seen_at", Integer, nullable=False),
    Column("expires_at", Integer, nullable=False),  # absolute; idle is last_seen_at + gate_settings.idle_seconds
    Column("address", Text, nullable=False),
    Column("user_agent", Text, nullable=False, server_default=""),
    Column("second_factor", Boolean, nullable=False, server_default=text("0")),  # proved in this session
    Column("proved_at", Integer, nullable=False, server_default=text("0")),  # last password or code: sensitive changes
    Column("provider", Text, nullable=False, server_default="local"),
    Column("id_token", LargeBinary),  # sealed; the hint of RP-initiated logout
    CheckConstraint("assurance IN ('full', 'second_factor', 'password_change')", name="assurance"),
    Index(None, "user_id"),
    Index(None, "expires_at"),
    sqlite_autoincrement=True,
)

# LOG-1: failures and bans outlive a restart. ``key``: "address:192.0.2.7", "address:2001:db8::/64", "account:alice", …
login_failures = Table(
    "login_failures",
    metadata,
    Column("key", Text, primary_key=True),
    Column("failures", Integer, nullable=False),
    Column("window_started_at", Integer, nullable=False),
    Column("banned_until", Integer, nullable=False, server_default=text("0")),
    Index(None, "window_started_at"),
)

# A device that has signed an account in before lifts that account's throttle for itself (LOG-1).
known_devices = Table(
    "known_devices",
    metadata,
    Column("token_hash", LargeBinary(32), primary_key=True),
    Column("user_id", Integer, ForeignKey("users.id", ondelete="CASCADE"), nullable=False),
    Column("created_at", Integer, nullable=False),
    Column("last_used_at", Integer, nullable=False),
    Index(None, "user_id"),
)

# A confirmed TOTP secret; ``last_step`` is the newest time step that was used (RFC 6238 §5.2: each once).
totp = Table(
    "totp",
    metadata,
    Column("user_id", Integer, ForeignKey("users.id", ondelete="CASCADE"), primary_key=True),
    Column("secret", LargeBinary, nullable=False),  # sealed
    Column("confirmed_at", Integer),  # NULL: shown, not yet confirmed by a code
    Column("last_step", Integer, nullable=False, server_default=text("0")),
    Column("created_at", Integer, nullable=False),
)

# The unused recovery codes, all in one sealed blob that is replaced by compare-and-swap (LOG-4).
recovery_codes = Table(
    "recovery_codes",
    metadata,
    Column("user_id", Integer, ForeignKey("users.id", ondelete="CASCADE"), primary_key=True),
    Column("codes", LargeBinary, nullable=False),  # sealed
    Column("created_at", Integer, nullable=False),
)

# One-time links by which a new person sets a password.
password_links = Table(
    "password_links",
    metadata,
    Column("token_hash", LargeBinary(32), primary_key=True),
    Column("user_id", Integer, ForeignKey("users.id", ondelete="CASCADE"), nullable=False),
    Column("expires_at", Integer, nullable=False),
    Index(None, "user_id"),
    Index(None, "expires_at"),
)

# Who a provider's people are here: (issuer, subject), never the e-mail.
oidc_identities = Table(
    "oidc_identities",
    metadata,
    Column("issuer", Text, primary_key=True),
    Column("subject", Text, primary_key=True),
    Column("user_id", Integer, ForeignKey("users.id", ondelete="CASCADE"), nullable=False),
    Column("created_at", Integer, nullable=False),
    Index(None, "user_id"),
)

# Sign-ins begun at a provider and not yet come back: single use, 10 min, bounded (OIDC-1, DAT-4).
oidc_pending = Table(
    "oidc_pending",
    metadata,
    Column("state_hash", LargeBinary(32), primary_key=True),
    Column("browser_hash", LargeBinary(32), nullable=False),
    Column("sealed", LargeBinary, nullable=False),  # nonce, PKCE verifier, issuer, return URL, who links
    Column("created_at", Integer, nullable=False),
    Index(None, "created_at"),
)

# What the operator has declared, as of the active revision.
resources = Table(
    "resources",
    metadata,
    Column("kind", Text, primary_key=True),  # 'host', 'settings', …
    Column("name", Text, primary_key=True),
    Column("spec", Text, nullable=False),  # JSON, canonical (sorted keys, defaults left in)
    Column("owner", Text, nullable=False, server_default=""),  # prune touches only the caller's own
    Column("updated_at", Integer, nullable=False),
)

revisions = Table(
    "revisions",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("state", Text, nullable=False),
    Column("etag", Text, nullable=False),
    Column("resources", Text, nullable=False),  # JSON: {kind: {name: {"spec": …, "owner": …}}}
    Column("actor", Text, nullable=False),
    Column("summary", Text, nullable=False, server_default=""),
    Column("reason", Text, nullable=False, server_default=""),  # why a failed one failed, scrubbed
    Column("created_at", Integer, nullable=False),
    Column("activated_at", Integer),
    CheckConstraint("state IN ('pending', 'active', 'superseded', 'failed')", name="state"),
    Index(None, "state"),
    sqlite_autoincrement=True,
)

# Written with the activation of a revision, so that the gate needs no model: one row per protected host.
gate_hosts = Table(
    "gate_hosts",
    metadata,
    Column("host_id", Text, primary_key=True),
    Column("rule", Text, nullable=False),  # JSON of argos.gate.decision.HostRule
)

gate_settings = Table(
    "gate_settings",
    metadata,
    Column("id", Integer, primary_key=True),  # always 1
    Column("panel_url", Text, nullable=False),  # "https://argos.home.example", no trailing slash
    Column("cookie_name", Text, nullable=False),  # "__Secure-argos_session", in lan "argos_session"
    Column("idle_seconds", Integer, nullable=False),
    CheckConstraint("id = 1", name="single"),
)

# vault.py: random data keys, wrapped by the master key.
data_keys = Table(
    "data_keys",
    metadata,
    Column("purpose", Text, primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("master_key_id", Text, nullable=False),
    Column("wrapped", LargeBinary, nullable=False),
    Column("created_at", Integer, nullable=False),
    CheckConstraint("purpose IN ('vault', 'audit', 'backup', 'password')", name="purpose"),
)

named_secrets = Table(
    "named_secrets",
    metadata,
    Column("name", Text, primary_key=True),
    Column("version", Integer, nullable=False),
    Column("sealed", LargeBinary, nullable=False),
    Column("updated_at", Integer, nullable=False),
)

# Bans that were made here, as they were asked for; LAPI holds them, and tells only what is left of each.
bans = Table(
    "bans",
    metadata,
    Column("value", Text, primary_key=True),  # "203.0.113.7", "2001:db8::/32"
    Column("decision_id", Integer, nullable=False),  # LAPI's
    Column("seconds", Integer, nullable=False),
    Column("reason", Text, nullable=False),
    Column("until", Integer, nullable=False),
)

audit = Table(
    "audit",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("at", Integer, nullable=False),
    Column("actor", Text, nullable=False),
    Column("address", Text, nullable=False, server_default=""),
    Column("action", Text, nullable=False),  # "user.create", "config.apply", …
    Column("target", Text, nullable=False),
    Column("before", Text),
    Column("after", Text),
    Column("key_version", Integer, nullable=False),
    Column("previous", LargeBinary(32), nullable=False),
    Column("hash", LargeBinary(32), nullable=False),  # HMAC-SHA-256 under the audit key over the row and ``previous``
    UniqueConstraint("previous"),  # a chain does not fork
    Index(None, "at"),
    sqlite_autoincrement=True,
)

# Tries to make a backup, the last 500; what archives there are, the directory tells.
backup_runs = Table(
    "backup_runs",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("at", Integer, nullable=False),
    Column("state", Text, nullable=False),
    Column("name", Text, nullable=False, server_default=""),
    Column("size", Integer, nullable=False, server_default=text("0")),
    Column("sha256", Text, nullable=False, server_default=""),
    Column("reason", Text, nullable=False, server_default=""),
    Column("request", Text, nullable=False, server_default=""),
    CheckConstraint("state IN ('ok', 'failed')", name="state"),
    sqlite_autoincrement=True,
)

# Facts about this database: 'setup_completed_at' (first admin made; set-up never reopens), 'audit_head', …
# What waits to be mailed, oldest first; ``more`` counts what was left out beside it (DAT-4).
notices = Table(
    "notices",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("at", Integer, nullable=False),
    Column("event", Text, nullable=False),
    Column("text", Text, nullable=False),  # one line, free of control characters and of secrets
    Column("more", Integer, nullable=False, server_default=text("0")),
    sqlite_autoincrement=True,
)

# What became of each mail; the bound per hour and the pause after a failure go by it.
mails = Table(
    "mails",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("at", Integer, nullable=False),
    Column("event", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("reason", Text, nullable=False, server_default=""),
    CheckConstraint("state IN ('sent', 'failed')", name="state"),
    sqlite_autoincrement=True,
)

meta = Table(
    "meta",
    metadata,
    Column("key", Text, primary_key=True),
    Column("value", Text, nullable=False),
)
