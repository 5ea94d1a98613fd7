"""Keep what became of each row of a push.

Revision ID: 0031
"""

from pathlib import Path

from alembic import op

revision = "0031"
down_revision = "0027"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Run the SQL file beside this one."""
    driver = op.get_bind().connection.driver_connection
    assert driver is not None
    driver.execute((Path(__file__).parent / "0031_push_outcome.sql").read_text())


def downgrade() -> None:
    """Drop the column."""
    op.execute("alter table control.inbox drop column outcome")
