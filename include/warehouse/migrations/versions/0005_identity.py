"""Who is who across vendors.

Revision ID: 0005
"""

from pathlib import Path

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Runs the SQL file beside this one."""
    driver = op.get_bind().connection.driver_connection
    assert driver is not None
    driver.execute((Path(__file__).parent / "0007_identity.sql").read_text())


def downgrade() -> None:
    """Takes the tables away; the rest goes with its schema."""
    op.execute("drop view control.identity_said")
    op.execute(
        "drop table control.survivorship, control.identity_run, control.identity_link, control.identity_review, control.identity_decision"
    )
