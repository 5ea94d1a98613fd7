"""The expected content of the warehouse, computed independently: SQL over the sandbox's exported objects.

Positions come from the transactions alone, summed by day with their signs, and the day's prices; so they agree with the
vendor's own positions only if both are right.
"""

from __future__ import annotations

from datetime import date
from typing import Any

import psycopg

from tests.conftest import Database, Firm

_TABLES = ("accounts", "assets", "transactions", "clients")

_VIEWS = """
create or replace view truth.day as select distinct (doc->>'asOfDate')::timestamp::date as business_date from truth.assets;

create or replace view truth.trade as
select doc->>'id' as id, doc->>'assetId' as asset, doc->>'productId' as product, doc->>'accountId' as account,
       (doc->>'transDate')::timestamp::date as trade_date, doc->>'status' as status, doc->>'financialType' as flow,
       (doc->>'noUnits')::numeric * direction as units, (doc->>'transAmount')::numeric * direction as dollars
from truth.transactions, lateral (
    select case when doc->>'typeCode' in ('SEL', 'DST', 'FEE', 'TOT', 'CDB') then -1 else 1 end as direction) d;

create or replace view truth.price as
select distinct (doc->>'asOfDate')::timestamp::date as business_date, doc->>'productId' as product,
       (doc->>'currentPrice')::numeric as price
from truth.assets;

create or replace view truth.holding as
select business_date, asset, account, product, sum(units) as units, round(sum(units) * price, 2) as dollars
from truth.day join truth.trade on trade_date <= business_date and status = 'Complete'
join truth.price using (business_date, product)
group by business_date, asset, account, product, price;

create or replace view truth.stated as
select (a.doc->>'asOfDate')::timestamp::date as business_date, a.doc->>'id' as asset, a.doc->>'accountId' as account,
       (a.doc->>'currentShares')::numeric as units, (a.doc->>'currentValue')::numeric as dollars,
       a.doc->>'assetClass' as asset_class
from truth.assets a;

create or replace view truth.owner as
select distinct doc->>'id' as account, doc->>'clientId' as household, (doc->>'accountStartDate')::timestamp::date as opened,
       (doc->>'cancelDate')::timestamp::date as closed, doc->>'sleeveType' = 'CustodialAccount' as is_parent
from truth.accounts;

create or replace view truth.household as
select doc->>'id' as household, doc->>'name' as name, doc->>'representativeId' as representative from truth.clients;

create or replace view truth.counted as
select h.*, o.household, k.representative, k.name from truth.stated h join truth.owner o using (account)
join truth.household k using (household) where not o.is_parent;
"""


def export(firm: Firm, first: date, last: date) -> None:
    """Copy the sandbox's current objects of some days into tables `truth.<table>` of one JSON column."""
    with psycopg.connect(firm.database.admin_url) as connection:
        connection.execute("create schema if not exists truth")
        for table in _TABLES:
            span = {"table": table, "from": str(first), "to": str(last)}
            lines = firm.sandbox.http.get("/_sandbox/export", params=span).text.splitlines()
            connection.execute(f"create table if not exists truth.{table} (doc jsonb)")  # type: ignore[call-overload]
            connection.execute(f"truncate truth.{table}")  # type: ignore[call-overload]
            with connection.cursor().copy(f"copy truth.{table} from stdin") as copy:  # type: ignore[call-overload]
                for line in lines:
                    copy.write_row([line])
        connection.execute(_VIEWS)
        connection.execute("analyze")  # as autovacuum does in the first minutes


def find_differences(database: Database, ours: str, theirs: str, **values: Any) -> list[dict[str, Any]]:
    """Return the rows that only one of two queries has; each query must return rows."""
    assert database.value(f"select count(*) from ({theirs}) t", **values) > 0, "the truth is empty"
    return database.rows(
        f"select 'ours' as only, * from (({ours}) except all ({theirs})) a"
        f" union all select 'theirs', * from (({theirs}) except all ({ours})) b",
        **values,
    )
