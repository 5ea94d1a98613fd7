"""Control, warehouse and marts.

Revision ID: 0001
"""

from pathlib import Path

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_CONTROL = (
    "ledger",
    "dead_letter",
    "api_call",
    "rate_budget",
    "writer",
    "drift",
    "absence",
    "reconciliation",
    "roll_forward_break",
    "lateness",
    "refresh_token",
    "answer",
)


def upgrade() -> None:
    """Runs the SQL files beside this one, in order."""
    driver = op.get_bind().connection.driver_connection
    assert driver is not None
    for name in ("0001_control.sql", "0002_warehouse.sql", "0003_marts.sql"):
        driver.execute((Path(__file__).parent / name).read_text())


def downgrade() -> None:
    """Takes everything away but the schema that holds Alembic's own table."""
    op.execute("drop schema mart, warehouse cascade")
    op.execute(f"drop table {', '.join(f'control.{name}' for name in _CONTROL)}")
    op.execute("drop sequence control.ledger_id, control.fence")
