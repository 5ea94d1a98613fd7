"""Planning and risk as analysts, advisors and compliance ask for them.

Revision ID: 0006
"""

from pathlib import Path

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Runs the SQL file beside this one."""
    driver = op.get_bind().connection.driver_connection
    assert driver is not None
    driver.execute((Path(__file__).parent / "0008_planning_marts.sql").read_text())


def downgrade() -> None:
    """Nothing: the schema that it adds to is taken away by the revision that made it."""
