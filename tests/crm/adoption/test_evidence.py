"""Who owns the org's financial accounts."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from include.crm.adoption import evidence
from tests.conftest import Database

_ADD = """
insert into control.org_record (sobject, salesforce_id, entity, links, payload, changed_at)
values ('FinancialAccountParty', 'P1', 'account_owner', '{"FinancialAccount": "A1", "Account": "001"}',
        jsonb_build_object('Role', cast(:role as text), 'RoleEndDate', cast(:until as text)), now())
"""


@pytest.mark.parametrize(
    ("role", "until", "is_owner"),
    [
        ("Primary Owner", None, True),
        ("Joint Owner", "2999-12-31", True),
        ("Primary Owner", "2020-01-31", False),
        ("Trustee", None, False),
    ],
)
def test_a_party_owns_the_account_while_its_role_is_an_owners(
    engine: sa.Engine, database: Database, role: str, until: str | None, is_owner: bool
) -> None:
    database.do(_ADD, role=role, until=until)
    with engine.connect() as db:
        owners = db.execute(sa.text(evidence.OWNERS), {"owners": []}).tuples().all()

    assert owners == ([("A1", "001")] if is_owner else [])
