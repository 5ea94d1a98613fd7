"""Create a month of positions once, however many loads of a new month begin at the same time.

Revision ID: 0034
"""

from pathlib import Path

from alembic import op

revision = "0034"
down_revision = "0032"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Run the SQL file beside this one."""
    driver = op.get_bind().connection.driver_connection
    assert driver is not None
    driver.execute((Path(__file__).parent / "0034_month.sql").read_text())


def downgrade() -> None:
    """Leave it: the function is valid for the revision before, too."""
