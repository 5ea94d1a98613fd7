"""What is told of a dead letter's reasons, from one place.

Revision ID: 0017
"""

from pathlib import Path

from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

_HERE = Path(__file__).parent


def upgrade() -> None:
    """Runs the SQL file beside this one."""
    _execute((_HERE / "0018_told_reasons.sql").read_text())


def downgrade() -> None:
    """Has events cut reasons by themselves, as before, and takes the column away."""
    before = (_HERE / "0011_outbox.sql").read_text()
    event = before[before.index("create function control.tell_dead_letters") :].partition("create trigger")[0]
    _execute(event.replace("create function", "create or replace function"))
    op.execute("alter table control.dead_letter drop column told_reasons")
    op.execute("drop function control.cut_reasons")
    op.execute("grant select (reasons) on control.dead_letter to tributary_api")


def _execute(text: str) -> None:
    driver = op.get_bind().connection.driver_connection
    assert driver is not None
    driver.execute(text)
