"""A day becomes visible as a whole; what a dead row may describe, and its money.

Revision ID: 0018
"""

from pathlib import Path

from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Runs the SQL file beside this one."""
    driver = op.get_bind().connection.driver_connection
    assert driver is not None
    driver.execute((Path(__file__).parent / "0019_publication.sql").read_text())


def downgrade() -> None:
    """Takes the views, tables and columns away."""
    op.execute("drop view mart.day_in_force, mart.completeness")
    op.execute("drop table mart.source, control.control_total_break, control.rejection")
    op.execute("alter table control.ledger drop column dead_money_usd, drop column dead_money_unreadable")
    columns = ("money_usd", "is_money_unreadable", "row_date", "describes", "extracted_at")
    op.execute("alter table control.dead_letter " + ", ".join(f"drop column {name}" for name in columns))
