"""Open dead letters are found by the start of the key of their row.

Revision ID: 0013
"""

from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Reshapes an index: a row that died again, or landed, had all open letters of its table looked through.

    The start of a key is enough to find it by, and an index can't hold a text of any length.
    """
    op.execute("drop index control.dead_letter_open")
    op.execute(
        "create index dead_letter_open on control.dead_letter (vendor, table_name, left(row_key, 200), business_date)"
        " where status = 'open'"
    )


def downgrade() -> None:
    """Gives back the index by day."""
    op.execute("drop index control.dead_letter_open")
    op.execute(
        "create index dead_letter_open on control.dead_letter (vendor, table_name, business_date) where status = 'open'"
    )
