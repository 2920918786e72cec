"""Second factors, groups, set-password links, OIDC identities and pending sign-ins"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_OWNED = ["users.id"]


def upgrade() -> None:
    """Bring the schema one step forward; of the tables that the gate reads, only by adding columns."""
    op.add_column("users", sa.Column("groups", sa.Text(), server_default="[]", nullable=False))
    op.add_column("users", sa.Column("email_verified", sa.Boolean(), server_default=sa.text("0"), nullable=False))
    op.add_column("sessions", sa.Column("second_factor", sa.Boolean(), server_default=sa.text("0"), nullable=False))
    op.add_column("sessions", sa.Column("proved_at", sa.Integer(), server_default=sa.text("0"), nullable=False))
    op.add_column("sessions", sa.Column("provider", sa.Text(), server_default="local", nullable=False))
    op.add_column("sessions", sa.Column("id_token", sa.LargeBinary(), nullable=True))
    _second_factors()
    _password_links()
    _oidc()


def _second_factors() -> None:
    op.create_table(
        "totp",
        sa.Column("user_id", sa.Integer(), nullable=False),
        sa.Column("secret", sa.LargeBinary(), nullable=False),
        sa.Column("confirmed_at", sa.Integer(), nullable=True),
        sa.Column("last_step", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("created_at", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("user_id", name="pk_totp"),
        sa.ForeignKeyConstraint(["user_id"], _OWNED, name="fk_totp_user_id", ondelete="CASCADE"),
    )
    op.create_table(
        "recovery_codes",
        sa.Column("user_id", sa.Integer(), nullable=False),
        sa.Column("codes", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("user_id", name="pk_recovery_codes"),
        sa.ForeignKeyConstraint(["user_id"], _OWNED, name="fk_recovery_codes_user_id", ondelete="CASCADE"),
    )


def _password_links() -> None:
    op.create_table(
        "password_links",
        sa.Column("token_hash", sa.LargeBinary(length=32), nullable=False),
        sa.Column("user_id", sa.Integer(), nullable=False),
        sa.Column("expires_at", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("token_hash", name="pk_password_links"),
        sa.ForeignKeyConstraint(["user_id"], _OWNED, name="fk_password_links_user_id", ondelete="CASCADE"),
    )
    op.create_index("ix_password_links_user_id", "password_links", ["user_id"])
    op.create_index("ix_password_links_expires_at", "password_links", ["expires_at"])


def _oidc() -> None:
    op.create_table(
        "oidc_identities",
        sa.Column("issuer", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("user_id", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("issuer", "subject", name="pk_oidc_identities"),
        sa.ForeignKeyConstraint(["user_id"], _OWNED, name="fk_oidc_identities_user_id", ondelete="CASCADE"),
    )
    op.create_index("ix_oidc_identities_user_id", "oidc_identities", ["user_id"])
    op.create_table(
        "oidc_pending",
        sa.Column("state_hash", sa.LargeBinary(length=32), nullable=False),
        sa.Column("browser_hash", sa.LargeBinary(length=32), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("state_hash", name="pk_oidc_pending"),
    )
    op.create_index("ix_oidc_pending_created_at", "oidc_pending", ["created_at"])
