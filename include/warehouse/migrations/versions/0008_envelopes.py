"""What was sent to be signed.

Revision ID: 0008
"""

from pathlib import Path

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Runs the SQL file beside this one."""
    driver = op.get_bind().connection.driver_connection
    assert driver is not None
    driver.execute((Path(__file__).parent / "0010_envelopes.sql").read_text())


def downgrade() -> None:
    """Takes envelopes away."""
    op.execute("drop table control.document_try")
    op.execute("drop table control.document")
    op.execute("drop function mart.envelope_as_known cascade")
    op.execute("drop function mart.acting_roles")
    for table in ("envelope_event", "envelope_recipient", "envelope", "template"):
        op.execute(f"drop table warehouse.{table} cascade")
