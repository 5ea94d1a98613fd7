"""Temporary tables: created as declared, in place of an earlier one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import sqlalchemy as sa

from include.crm.temporary import TempTable
from include.warehouse import schema
from tests.conftest import Database

TABLE = TempTable("sample", {"external_key": 'text collate "C"', "rows": "bigint"})


@pytest.fixture
def db(shared_database: Database) -> Iterator[sa.Connection]:
    engine = schema.engine(shared_database.url())
    with engine.connect() as connection:
        yield connection
        connection.invalidate()
    engine.dispose()


def columns_of(db: sa.Connection, table: TempTable) -> dict[str, str]:
    query = """
        select attname, format_type(atttypid, atttypmod) from pg_attribute
        where attrelid = to_regclass('pg_temp.' || :name) and attnum > 0 order by attnum
    """
    return dict(db.execute(sa.text(query), {"name": table.name}).tuples().all())


def test_filled_table_has_the_declared_columns_alone(db: sa.Connection) -> None:
    assert TABLE.fill(db, "select 7 as rows, 1 as other, 'k'::varchar as external_key") == 1
    assert columns_of(db, TABLE) == {"external_key": "text", "rows": "bigint"}


def test_query_that_lacks_a_column_is_an_error(db: sa.Connection) -> None:
    with pytest.raises(sa.exc.ProgrammingError, match="external_key"):
        TABLE.fill(db, "select 7 as rows")


def test_table_takes_the_place_of_an_earlier_one(db: sa.Connection) -> None:
    TABLE.fill(db, "select 7 as rows, 'k' as external_key")
    TABLE.create(db)
    assert db.scalar(sa.text(f"select count(*) from {TABLE}")) == 0


@pytest.mark.parametrize("name", ["Account__r.Tributary_Key__c", 'a "b"', "a :b"])
def test_column_may_have_any_name(db: sa.Connection, name: str) -> None:
    TempTable("sample", {name: "text"}).create(db)
    assert list(columns_of(db, TABLE)) == [name]


def test_table_of_a_transaction_ends_with_it(db: sa.Connection) -> None:
    TempTable("sample", {"rows": "bigint"}, is_dropped_on_commit=True).fill(db, "select 7 as rows")
    db.commit()
    assert columns_of(db, TABLE) == {}
