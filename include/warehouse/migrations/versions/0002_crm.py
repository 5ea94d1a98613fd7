"""What Salesforce accepted, and the jobs that carried it there.

Revision ID: 0002
"""

from pathlib import Path

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Runs the SQL file beside this one."""
    driver = op.get_bind().connection.driver_connection
    assert driver is not None
    driver.execute((Path(__file__).parent / "0004_crm.sql").read_text())


def downgrade() -> None:
    """Takes the tables away."""
    op.execute("drop table control.crm_difference, control.crm_sent, control.crm_job, control.crm_state")
