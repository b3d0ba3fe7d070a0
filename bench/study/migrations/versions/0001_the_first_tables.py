"""The first tables."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "rater",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=40), nullable=False),
        sa.Column("row", sa.Integer(), nullable=False),
        sa.Column("status", sa.String(length=20), nullable=False),
        sa.Column("simulated", sa.Boolean(), nullable=False),
        sa.Column("source", sa.String(length=20), nullable=False),
        sa.Column("pseudonym", sa.String(length=64), nullable=True),
        sa.Column("locale", sa.String(length=20), nullable=True),
        sa.Column("invited", sa.String(length=32), nullable=False),
        sa.Column("consent", sa.String(length=32), nullable=True),
        sa.Column("finished", sa.String(length=32), nullable=True),
        sa.CheckConstraint(
            "status in ('invited', 'active', 'paused', 'done', 'replaced', 'deleted')", name=op.f("ck_rater_status")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_rater")),
        sa.UniqueConstraint("name", name=op.f("uq_rater_name")),
        sa.UniqueConstraint("pseudonym", name=op.f("uq_rater_pseudonym")),
    )
    op.create_table(
        "stimulus",
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("face", sa.String(length=200), nullable=False),
        sa.Column("condition", sa.String(length=100), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("width", sa.Integer(), nullable=False),
        sa.Column("height", sa.Integer(), nullable=False),
        sa.Column("consistency", sa.Float(), nullable=True),
        sa.Column("flag", sa.String(length=200), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_stimulus")),
        sa.UniqueConstraint("face", "condition", name=op.f("uq_stimulus_face_condition")),
    )
    op.create_table(
        "study",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("created", sa.String(length=32), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_study")),
    )
    op.create_table(
        "correction",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("rater", sa.Integer(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("score", sa.Integer(), nullable=False),
        sa.Column("rt_ms", sa.Float(), nullable=True),
        sa.Column("input", sa.String(length=10), nullable=False),
        sa.Column("at", sa.String(length=32), nullable=False),
        sa.CheckConstraint("score >= 0 and score <= 9", name=op.f("ck_correction_score")),
        sa.ForeignKeyConstraint(["rater"], ["rater.id"], name=op.f("fk_correction_rater")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_correction")),
        sa.UniqueConstraint("rater", "position", "revision", name=op.f("uq_correction_rater_position_revision")),
    )
    op.create_table(
        "event",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("rater", sa.Integer(), nullable=True),
        sa.Column("kind", sa.String(length=40), nullable=False),
        sa.Column("position", sa.Integer(), nullable=True),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("at", sa.String(length=32), nullable=False),
        sa.ForeignKeyConstraint(["rater"], ["rater.id"], name=op.f("fk_event_rater")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_event")),
    )
    op.create_index(op.f("ix_event_rater"), "event", ["rater"])
    op.create_table(
        "exclusion",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("rater", sa.Integer(), nullable=False),
        sa.Column("rule", sa.String(length=60), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("at", sa.String(length=32), nullable=False),
        sa.ForeignKeyConstraint(["rater"], ["rater.id"], name=op.f("fk_exclusion_rater")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_exclusion")),
        sa.UniqueConstraint("rater", "rule", name=op.f("uq_exclusion_rater_rule")),
    )
    op.create_table(
        "plan",
        sa.Column("row", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("position", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("face", sa.String(length=200), nullable=False),
        sa.Column("condition", sa.String(length=100), nullable=False),
        sa.Column("other", sa.String(length=100), nullable=False),
        sa.Column("stimulus", sa.String(length=64), nullable=True),
        sa.Column("other_stimulus", sa.String(length=64), nullable=True),
        sa.Column("low", sa.Integer(), nullable=True),
        sa.Column("high", sa.Integer(), nullable=True),
        sa.ForeignKeyConstraint(["other_stimulus"], ["stimulus.name"], name=op.f("fk_plan_other_stimulus")),
        sa.ForeignKeyConstraint(["stimulus"], ["stimulus.name"], name=op.f("fk_plan_stimulus")),
        sa.PrimaryKeyConstraint("row", "position", name=op.f("pk_plan")),
    )
    op.create_table(
        "presentation",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("rater", sa.Integer(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("shown", sa.String(length=32), nullable=True),
        sa.Column("dpr", sa.Float(), nullable=True),
        sa.Column("device_pixels", sa.Float(), nullable=True),
        sa.Column("css_px", sa.Float(), nullable=True),
        sa.Column("viewport_width", sa.Integer(), nullable=True),
        sa.Column("viewport_height", sa.Integer(), nullable=True),
        sa.Column("pinch", sa.Float(), nullable=True),
        sa.Column("loaded_ms", sa.Float(), nullable=True),
        sa.Column("hidden_ms", sa.Float(), nullable=True),
        sa.Column("verified", sa.Boolean(), nullable=True),
        sa.Column("at", sa.String(length=32), nullable=False),
        sa.ForeignKeyConstraint(["rater"], ["rater.id"], name=op.f("fk_presentation_rater")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_presentation")),
        sa.UniqueConstraint("rater", "position", "revision", name=op.f("uq_presentation_rater_position_revision")),
    )
    op.create_table(
        "rating",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("rater", sa.Integer(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("score", sa.Integer(), nullable=True),
        sa.Column("rt_ms", sa.Float(), nullable=True),
        sa.Column("input", sa.String(length=10), nullable=False),
        sa.Column("at", sa.String(length=32), nullable=False),
        sa.CheckConstraint("score is null or (score >= 0 and score <= 9)", name=op.f("ck_rating_score")),
        sa.ForeignKeyConstraint(["rater"], ["rater.id"], name=op.f("fk_rating_rater")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_rating")),
        sa.UniqueConstraint("rater", "position", name=op.f("uq_rating_rater_position")),
    )
    op.create_table(
        "token",
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.Column("rater", sa.Integer(), nullable=False),
        sa.Column("created", sa.String(length=32), nullable=False),
        sa.ForeignKeyConstraint(["rater"], ["rater.id"], name=op.f("fk_token_rater")),
        sa.PrimaryKeyConstraint("hash", name=op.f("pk_token")),
    )


def downgrade() -> None:
    for table in ("token", "rating", "presentation", "plan", "exclusion", "event", "correction", "study", "stimulus", "rater"):
        op.drop_table(table)
