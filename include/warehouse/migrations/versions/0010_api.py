"""What other programs ask of us.

Revision ID: 0010
"""

from pathlib import Path

from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Runs the SQL file beside this one."""
    driver = op.get_bind().connection.driver_connection
    assert driver is not None
    driver.execute((Path(__file__).parent / "0012_api.sql").read_text())


def downgrade() -> None:
    """Takes the tables away, and the rights on those that stay."""
    op.execute("drop function control.push, control.ask, control.remember")
    op.execute("drop table control.idempotency, control.request, control.api_key")
    op.execute("drop index control.inbox_pushed")
    op.execute("revoke all on all tables in schema control from tributary_api")
    op.execute("revoke usage on schema control from tributary_api")
