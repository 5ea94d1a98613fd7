"""Answers that are asked for again only if they have changed.

Revision ID: 0012
"""

from pathlib import Path

from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Runs the SQL file beside this one."""
    driver = op.get_bind().connection.driver_connection
    assert driver is not None
    driver.execute((Path(__file__).parent / "0014_known_answers.sql").read_text())


def downgrade() -> None:
    """Takes the table away, and gives back who might read answers."""
    op.execute("drop table control.known_answer")
    op.execute("grant select on control.answer to tributary_read")
