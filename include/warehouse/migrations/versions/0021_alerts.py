"""Alerts that were sent, so that none is sent twice.

Revision ID: 0021
"""

from pathlib import Path

from alembic import op

revision = "0021"
down_revision = "0018"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Runs the SQL file beside this one."""
    driver = op.get_bind().connection.driver_connection
    assert driver is not None
    driver.execute((Path(__file__).parent / "0022_alerts.sql").read_text())


def downgrade() -> None:
    """Drops the table."""
    op.execute("drop table control.alert")
