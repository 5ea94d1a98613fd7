"""Record outages of vendors.

Revision ID: 0033
"""

from pathlib import Path

from alembic import op

revision = "0033"
down_revision = "0035"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Run the SQL file beside this one."""
    driver = op.get_bind().connection.driver_connection
    assert driver is not None
    driver.execute((Path(__file__).parent / "0033_outage.sql").read_text())


def downgrade() -> None:
    """Drop the table."""
    op.execute("drop table control.outage")
