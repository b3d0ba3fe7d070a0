"""What raters give beside ratings: questionnaire, screen, practice, comment; and how a pair was laid out."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("presentation", sa.Column("layout", sa.String(length=10), nullable=True))
    op.create_table(
        "given",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("rater", sa.Integer(), nullable=False),
        sa.Column("step", sa.String(length=20), nullable=False),
        sa.Column("name", sa.String(length=40), nullable=False),
        sa.Column("mark", sa.String(length=64), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.Column("at", sa.String(length=32), nullable=False),
        sa.ForeignKeyConstraint(["rater"], ["rater.id"], name=op.f("fk_given_rater")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_given")),
        sa.UniqueConstraint("rater", "step", "name", "mark", name=op.f("uq_given_rater_step_name_mark")),
    )
    op.create_index(op.f("ix_given_rater"), "given", ["rater"])


def downgrade() -> None:
    op.drop_table("given")
    op.drop_column("presentation", "layout")
