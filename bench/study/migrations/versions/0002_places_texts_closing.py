"""Places kept for a time, texts agreed to, images sent, submissions to pay, and the end of collection."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("study", sa.Column("paused", sa.String(length=32), nullable=True))
    for name, length in (("agreed", 64), ("reserved_until", 32), ("departed", 20), ("device", 64)):
        op.add_column("rater", sa.Column(name, sa.String(length=length), nullable=True))
    op.create_table(
        "served",
        sa.Column("rater", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("stimulus", sa.String(length=64), nullable=False),
        sa.Column("at", sa.String(length=32), nullable=False),
        sa.ForeignKeyConstraint(["rater"], ["rater.id"], name=op.f("fk_served_rater")),
        sa.ForeignKeyConstraint(["stimulus"], ["stimulus.name"], name=op.f("fk_served_stimulus")),
        sa.PrimaryKeyConstraint("rater", "stimulus", name=op.f("pk_served")),
    )
    op.create_table(
        "submission",
        sa.Column("rater", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("sealed", sa.Text(), nullable=True),
        sa.Column("at", sa.String(length=32), nullable=False),
        sa.Column("paid", sa.String(length=32), nullable=True),
        sa.ForeignKeyConstraint(["rater"], ["rater.id"], name=op.f("fk_submission_rater")),
        sa.PrimaryKeyConstraint("rater", name=op.f("pk_submission")),
    )
    op.create_table(
        "closing",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("at", sa.String(length=32), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("raters", sa.Integer(), nullable=False),
        sa.Column("ratings", sa.Integer(), nullable=False),
        sa.Column("ratings_sha256", sa.String(length=64), nullable=False),
        sa.Column("texts_sha256", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_closing")),
    )


def downgrade() -> None:
    for table in ("closing", "submission", "served"):
        op.drop_table(table)
    for name in ("device", "departed", "reserved_until", "agreed"):
        op.drop_column("rater", name)
    op.drop_column("study", "paused")
