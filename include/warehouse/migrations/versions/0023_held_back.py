"""What Salesforce is not given, and what people decided about it.

Revision ID: 0023
"""

from pathlib import Path

from alembic import op

revision = "0023"
down_revision = "0021"
branch_labels = None
depends_on = None

_HERE = Path(__file__).parent


def upgrade() -> None:
    """Runs the SQL file beside this one."""
    driver = op.get_bind().connection.driver_connection
    assert driver is not None
    driver.execute((_HERE / "0024_held_back.sql").read_text())


def downgrade() -> None:
    """Drops the tables; decisions that were taken back count again."""
    op.execute("drop table control.crm_mark, control.crm_held, control.crm_question")
    op.execute("drop view control.identity_said")
    op.execute("alter table control.identity_decision drop column is_withdrawn")
    op.execute("""
        create view control.identity_said as
        select distinct on (entity, left_id, right_id) * from control.identity_decision
        order by entity, left_id, right_id, decision_id desc
    """)
    op.execute("grant select on control.identity_said to tributary_load, tributary_read")
