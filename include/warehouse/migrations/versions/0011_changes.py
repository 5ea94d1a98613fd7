"""What people change in Salesforce, and deals.

Revision ID: 0011
"""

from pathlib import Path

from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Runs the SQL file beside this one."""
    driver = op.get_bind().connection.driver_connection
    assert driver is not None
    driver.execute((Path(__file__).parent / "0013_changes.sql").read_text())


def downgrade() -> None:
    """Takes views and tables away; findings about deals go with them."""
    op.execute("drop view mart.deal, mart.deal_stage, mart.crm_change, warehouse.crm_record")
    op.execute("drop aggregate warehouse.fold(jsonb)")
    op.execute("drop table warehouse.crm_change, control.crm_topic")
    op.execute("drop index control.crm_state_account_id")
    op.execute("delete from control.finding where subject_entity = 'deal'")
    op.execute("delete from warehouse.source_key where entity = 'deal'")
    op.execute("alter table control.finding drop constraint finding_subject_entity_check")
    op.execute(
        "alter table control.finding add constraint finding_subject_entity_check"
        " check (subject_entity in ('account', 'household', 'person'))"
    )
