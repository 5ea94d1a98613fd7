"""Net worth without what vendors do not name any more.

Revision ID: 0016
"""

from pathlib import Path

from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

_HERE = Path(__file__).parent


def upgrade() -> None:
    """Runs the SQL file beside this one."""
    _execute((_HERE / "0017_net_worth.sql").read_text())


def downgrade() -> None:
    """Makes the function anew as it was."""
    before = (_HERE / "0015_past_only.sql").read_text()
    _execute(before[before.index("create or replace function mart.net_worth_as_known") :])


def _execute(text: str) -> None:
    driver = op.get_bind().connection.driver_connection
    assert driver is not None
    driver.execute(text)
