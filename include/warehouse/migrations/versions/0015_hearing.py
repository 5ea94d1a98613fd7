"""A role that hears: the bells, and what Salesforce tells.

Revision ID: 0015
"""

from pathlib import Path

from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Runs the SQL file beside this one."""
    driver = op.get_bind().connection.driver_connection
    assert driver is not None
    driver.execute((Path(__file__).parent / "0016_hearing.sql").read_text())


def downgrade() -> None:
    """Takes the role's rights away."""
    op.execute("revoke all on all tables in schema control, warehouse from tributary_hear")
    op.execute("revoke all on function control.ask from tributary_hear")
    op.execute("revoke usage on schema control, warehouse from tributary_hear")
