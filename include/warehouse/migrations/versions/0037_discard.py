"""Record who discards a dead letter, and why.

Revision ID: 0037
"""

from pathlib import Path

from alembic import op

revision = "0037"
down_revision = "0036"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Run the SQL file beside this one."""
    driver = op.get_bind().connection.driver_connection
    assert driver is not None
    driver.execute((Path(__file__).parent / "0037_discard.sql").read_text())


def downgrade() -> None:
    """Drop the columns."""
    op.execute("alter table control.dead_letter drop column discard_reason, drop column discarded_by")
