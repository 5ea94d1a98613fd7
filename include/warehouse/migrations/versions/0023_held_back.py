"""What Salesforce is not given, and what people decided about it.

Revision ID: 0023
"""

from pathlib import Path

from alembic import op

revision = "0023"
down_revision = "0017"
branch_labels = None
depends_on = None

_HERE = Path(__file__).parent


def upgrade() -> None:
    """Runs the SQL file beside this one."""
    driver = op.get_bind().connection.driver_connection
    assert driver is not None
    driver.execute((_HERE / "0024_held_back.sql").read_text())


def downgrade() -> None:
    """Drops both tables."""
    op.execute("drop table control.crm_held, control.crm_question")
