"""Let an operator accept a day that does not add up; count dead letters of days that were never loaded.

Revision ID: 0036
"""

from pathlib import Path

from alembic import op

revision = "0036"
down_revision = "0033"
branch_labels = None
depends_on = None

_HERE = Path(__file__).parent


def upgrade() -> None:
    """Run the SQL file beside this one."""
    _execute((_HERE / "0036_accepted.sql").read_text())


def downgrade() -> None:
    """Make the view as it was."""
    text = (_HERE / "0035_changed_since.sql").read_text()
    view = text[text.index("create or replace view mart.completeness") : text.index("-- The day in force")]
    _execute("drop view mart.completeness;" + view)
    _execute("grant select on mart.completeness to tributary_load, tributary_read")
    _execute(
        "update mart.source set entity = 'position' where mart in ('net_worth', 'plan_assets') and entity = 'account_value'"
    )
    _execute("alter table control.reconciliation drop column accepted_by")


def _execute(statements: str) -> None:
    driver = op.get_bind().connection.driver_connection
    assert driver is not None
    driver.execute(statements)
