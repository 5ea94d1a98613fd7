"""Two warehouses loaded from one vendor are equal, whatever their ids; a cent or a doubled row is a difference."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from include.vendors import named
from local.postgres import Postgres
from local.warehouse_rows import find_differences
from tests.chaos.compare import list_compared, read
from tests.conftest import Database, Firm, new_database
from tests.running_sandbox import run_sandbox

Sides = tuple[Database, Database, str]


@pytest.fixture(scope="module")
def sides(postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sides]:
    folder = tmp_path_factory.mktemp("sides")
    with (
        run_sandbox(folder / "sandbox", households=3) as sandbox,
        new_database(postgres) as here,
        new_database(postgres) as there,
    ):
        there.do("select setval(pg_get_serial_sequence('warehouse.source_key', 'id'), 5000)")
        for name, database in (("here", here), ("there", there)):
            Firm(named("orion"), sandbox, database, folder / name).day()
        yield here, there, sandbox.url


def compare(sides: Sides) -> list[str]:
    here, there, url = sides
    read_sides = {name: read(side.admin_url, url, ["run-1"]) for name, side in (("here", here), ("there", there))}
    return find_differences(read_sides)


def test_other_ids_and_times_are_no_difference(sides: Sides) -> None:
    assert compare(sides) == []


def test_a_cent_is_a_difference(sides: Sides) -> None:
    change = "update warehouse.position set market_value_usd = market_value_usd {} 0.01 where position_key = :key"
    key = sides[1].value("select min(position_key) from warehouse.position")
    sides[1].do(change.format("+"), key=key)
    lines = compare(sides)
    sides[1].do(change.format("-"), key=key)
    assert [line for line in lines if line.startswith("warehouse.position: 1 rows only there")]


def test_history_that_was_doubled_is_a_difference(sides: Sides) -> None:
    sides[1].do(
        "with one as (select * from warehouse.account_value limit 1) insert into warehouse.account_value"
        ' select (jsonb_populate_record(null::warehouse.account_value, to_jsonb(one) || \'{"recorded_to": "2027-01-01"}\')).* from one'
    )
    assert [line for line in compare(sides) if line.startswith("warehouse.account_value: 1 rows only there")]


def test_names_that_the_org_numbers_are_no_difference() -> None:
    alerts = [{"Name": f"Alert-00000005{at}", "FinServ__Message__c": "risk misaligned"} for at in (4, 5)]
    assert len({tuple(list_compared(alert, {})) for alert in alerts}) == 1
    assert len({tuple(list_compared({"Name": f"Account {at}"}, {})) for at in (4, 5)}) == 2
