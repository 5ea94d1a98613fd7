"""Planning and risk.

Revision ID: 0004
"""

from pathlib import Path

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Runs the SQL file beside this one."""
    driver = op.get_bind().connection.driver_connection
    assert driver is not None
    driver.execute((Path(__file__).parent / "0006_planning.sql").read_text())


def downgrade() -> None:
    """Nothing: the schemas that it adds to are taken away by the revision that made them."""
