"""Repair schemas of earlier commits; add months without blocking readers; name lock holders; wake for wanted events only.

Revision ID: 0027
"""

from pathlib import Path

from alembic import op

revision = "0027"
down_revision = "0023"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Run the SQL file beside this one."""
    driver = op.get_bind().connection.driver_connection
    assert driver is not None
    driver.execute((Path(__file__).parent / "0028_recovery.sql").read_text())


def downgrade() -> None:
    """Drop the function that names lock holders; the repairs are valid for the revision before, too."""
    op.execute("drop function control.find_lock_holders")
