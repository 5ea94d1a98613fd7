"""What an Account of the org is that has no kind of ours: household, person or legal entity."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from include.crm.objects.portfolio import SHAPES
from include.crm.settings import ShapeName


@pytest.mark.parametrize(
    ("shape", "record_type", "name", "entity"),
    [
        ("managed_package", "IndustriesHousehold", "Sample", "household"),
        ("managed_package", "IndustriesIndividual", "Ann Sample", "person"),
        ("managed_package", "IndustriesBusiness", "Sample LLC", "legal_entity"),
        ("standard_objects", "Household", "Sample", "household"),
        ("standard_objects", "PersonAccount", "Ann Sample", "person"),
        ("standard_objects", "Individual", "Ann Sample", "person"),
        ("standard_objects", "Business", "Sample LLC", "legal_entity"),
        ("standard_objects", "Non_Individual", "Sample Trust", "legal_entity"),
        ("plain", None, "The Samples", "household"),
        ("plain", None, "Sample LLC", "legal_entity"),
    ],
)
def test_the_record_type_tells_what_an_account_is(
    engine: sa.Engine, shape: ShapeName, record_type: str | None, name: str, entity: str
) -> None:
    query = f"""
        select {SHAPES[shape].account_entity} from (select jsonb_build_object('RecordType.DeveloperName', cast(:type as text)) as payload,
                                                    cast(:name as text) as name) r"""
    with engine.connect() as db:
        assert db.scalar(sa.text(query), {"type": record_type, "name": name}) == entity
