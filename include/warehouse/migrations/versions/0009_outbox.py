"""What others are told.

Revision ID: 0009
"""

from pathlib import Path

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

_TELLING = {
    "control.ledger": ("outbox", "tell_loads"),
    "control.dead_letter": ("outbox", "tell_dead_letters"),
    "control.lateness": ("outbox", "tell_lateness"),
    "control.finding": ("outbox_opened", "tell_opened"),
    "warehouse.envelope": ("outbox", "tell_completed"),
}


def upgrade() -> None:
    """Runs the SQL file beside this one."""
    driver = op.get_bind().connection.driver_connection
    assert driver is not None
    driver.execute((Path(__file__).parent / "0011_outbox.sql").read_text())


def downgrade() -> None:
    """Takes the outbox away, and what fills it."""
    op.execute("drop trigger outbox_closed on control.finding")
    for table, (trigger, function) in _TELLING.items():
        op.execute(f"drop trigger {trigger} on {table}")
        op.execute(f"drop function control.{function}")
    op.execute("drop function control.tell_closed, control.finding_event")
    op.execute("drop index warehouse.envelope_before")
    op.execute("drop table control.outbound_delivery, control.outbound_subscriber, control.outbox")
    op.execute("drop function control.ring_outbox")
