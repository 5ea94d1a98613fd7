"""What others' webhooks brought.

Revision ID: 0007
"""

from pathlib import Path

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Runs the SQL file beside this one."""
    driver = op.get_bind().connection.driver_connection
    assert driver is not None
    driver.execute((Path(__file__).parent / "0009_inbox.sql").read_text())


def downgrade() -> None:
    """Takes the inbox away."""
    op.execute("drop function control.receive")
    op.execute("drop table control.inbox")
    op.execute("revoke usage on schema control from tributary_gateway")
