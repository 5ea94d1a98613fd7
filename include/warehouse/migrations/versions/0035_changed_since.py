"""Show which days changed after they were reconciled; a rejection of another day says nothing of the day in force.

Revision ID: 0035
"""

from pathlib import Path

from alembic import op

revision = "0035"
down_revision = "0034"
branch_labels = None
depends_on = None

_HERE = Path(__file__).parent


def upgrade() -> None:
    """Run the SQL file beside this one."""
    _execute((_HERE / "0035_changed_since.sql").read_text())


def downgrade() -> None:
    """Make the views as they were."""
    text = (_HERE / "0019_publication.sql").read_text()
    views = text[text.index("create view mart.completeness") : text.index("grant select on mart.source")]
    _execute("drop view mart.completeness, mart.day_in_force;" + views)
    _execute("grant select on mart.completeness, mart.day_in_force to tributary_load, tributary_read")


def _execute(statements: str) -> None:
    driver = op.get_bind().connection.driver_connection
    assert driver is not None
    driver.execute(statements)
