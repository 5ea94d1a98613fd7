"""Marts read each row a few times, however many records are copies of others: no join compares every row with every other."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from local.bench.rules import fill
from local.postgres import Postgres
from tests.conftest import Database, new_database
from tests.warehouse.loading import count_rows_read

POSITIONS = 4_000
DAY = "business_date = '2026-11-20'"
# Every security and every tenth account has a second record that represents it.
_COPY = """
insert into warehouse.account (account_id, vendor, account_key, household_id, is_active, is_counted, valid_from, recorded_from, source_run_id)
select account_id + 1000000000, 'other', account_key, household_id, true, true, valid_from, now(), 1 from warehouse.account where account_id % 10 = 0;
insert into warehouse.position (business_date, vendor, position_key, account_id, security_id, quantity, market_value_usd, recorded_from, source_run_id)
select business_date, 'other', position_key, account_id + 1000000000, security_id, quantity, market_value_usd, now(), 1
from warehouse.position where account_id % 10 = 0;
insert into warehouse.identity (entity, id, identity_id, how, recorded_from, source_run_id)
select 'account', account_id, account_id - 1000000000, 'copy', now(), 'run' from warehouse.account where vendor = 'other' union all
select 'security', security_id, security_id + 1, 'number', now(), 'run' from warehouse.security where security_id % 2 = 0;
"""


@pytest.fixture(scope="module")
def firm(postgres: Postgres) -> Iterator[Database]:
    with new_database(postgres) as database:
        with psycopg.connect(database.admin_url, autocommit=True) as connection:
            fill(connection, POSITIONS)
            connection.execute(_COPY)
            connection.execute("vacuum analyze")
        yield database


@pytest.mark.parametrize(
    "query",
    [
        f"mart.aum_by_household where {DAY}",
        f"mart.aum_by_household_as_known(now()) where {DAY}",
        f"mart.aum_by_representative where {DAY}",
        f"mart.aum_by_asset_class where {DAY}",
        "mart.aum_by_household",
        "mart.net_flows",
        "mart.net_worth",
        "mart.openings_and_closings",
    ],
)
def test_a_mart_reads_each_row_a_few_times(firm: Database, query: str) -> None:
    with psycopg.connect(firm.url("tributary_read")) as connection:
        row = connection.execute(f"explain (analyze, format json) select * from {query}".encode()).fetchone()
    assert row is not None
    [[plan]] = row
    assert plan["Plan"]["Actual Rows"] > 0
    assert count_rows_read(plan["Plan"]) < 50 * POSITIONS
