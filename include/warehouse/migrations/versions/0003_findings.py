"""What the business rules found.

Revision ID: 0003
"""

from pathlib import Path

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Runs the SQL file beside this one."""
    driver = op.get_bind().connection.driver_connection
    assert driver is not None
    driver.execute((Path(__file__).parent / "0005_findings.sql").read_text())


def downgrade() -> None:
    """Takes the tables away."""
    op.execute("drop table control.finding, control.judged_day")
