"""Descriptions that only a past date has told of.

Revision ID: 0014
"""

from pathlib import Path

from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

_SQL = Path(__file__).parent / "0015_past_only.sql"


def upgrade() -> None:
    """Runs the SQL file beside this one."""
    _execute(_SQL.read_text())


def downgrade() -> None:
    """Makes the views anew without the column, and takes it away."""
    lines = _SQL.read_text().splitlines()
    _execute("\n".join(line for line in lines if "is_past_only" not in line))
    for line in lines:
        if line.startswith("alter table"):
            op.execute(line.split(" add ")[0] + " drop column is_past_only")


def _execute(text: str) -> None:
    driver = op.get_bind().connection.driver_connection
    assert driver is not None
    driver.execute(text)
