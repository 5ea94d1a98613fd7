"""Securities are identified across vendors; joint owners have a role.

Revision ID: 0032
"""

from pathlib import Path

from alembic import op

revision = "0032"
down_revision = "0031"
branch_labels = None
depends_on = None

_HERE = Path(__file__).parent
_FUNCTIONS = {
    "0007_identity.sql": ("mart.holding_as_known(",),
    "0003_marts.sql": ("mart.account_owner_known(", "mart.aum_by_asset_class_as_known("),
}
"""Migration -> the functions that were as it made them."""


def upgrade() -> None:
    """Run the SQL file beside this one."""
    _execute((_HERE / "0032_securities.sql").read_text())


def downgrade() -> None:
    """Make the functions as they were; securities and joint owners are forgotten."""
    op.execute("drop view warehouse.known_security, control.crm_superseded")
    op.execute("drop table control.security_conflict")
    op.execute("drop function mart.holding_as_known(timestamptz)")
    for name, functions in _FUNCTIONS.items():
        text = (_HERE / name).read_text()
        for function in functions:
            body = text[text.index(f"function {function}") :].partition("\n$$;")[0]
            _execute(f"create or replace {body}\n$$")
    op.execute("delete from warehouse.identity where entity = 'security'")
    op.execute("alter table warehouse.identity drop constraint identity_entity_check")
    op.execute(
        "alter table warehouse.identity add constraint identity_entity_check"
        " check (entity in ('person', 'household', 'account'))"
    )
    op.execute("delete from warehouse.account_owner where role = 'joint'")
    op.execute("alter table warehouse.account_owner drop column role")


def _execute(text: str) -> None:
    driver = op.get_bind().connection.driver_connection
    assert driver is not None
    driver.execute(text)
