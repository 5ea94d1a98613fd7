"""The schema: tables match the declared entities, and each role has only the rights it needs."""

from __future__ import annotations

import subprocess
import sys
import time

import psycopg
import pytest
import sqlalchemy as sa
from psycopg import errors

from include.canonical import ENTITIES, Entity
from include.warehouse import schema
from tests.conftest import Database
from tests.warehouse.catalog import read_catalog
from tests.warehouse.loading import Loader, position

_PLAIN = {
    "string": "text", "bool": "boolean", "int64": "bigint", "date": "date", "timestamp": "timestamp with time zone",
}  # fmt: skip
_KNOWN = {"recorded_from": "timestamp with time zone", "recorded_to": "timestamp with time zone"}


def expected_columns(entity: Entity) -> dict[str, str]:
    """Return the columns, with types, that an entity requires of its warehouse table."""
    columns = {entity.key: "text", "vendor": "text", "source_run_id": "bigint"} | _KNOWN
    columns |= {key.replace("_key", "_id"): "bigint" for key in entity.references}
    columns |= {
        name: _PLAIN.get(type_name) or type_name.replace("decimal", "numeric")
        for name, type_name in entity.fields.items()
    }
    if entity.kind == "description":
        return columns | {
            f"{entity.name}_id": "bigint",
            "valid_from": "date",
            "valid_to": "date",
            "is_past_only": "boolean",
        }
    dated = {"business_date": "date"} if entity.kind == "snapshot" else {}
    has_money = any(name.endswith("_usd") for name in entity.fields)
    return columns | dated | ({"currency_code": "character(3)"} if has_money else {})


@pytest.mark.parametrize("entity", ENTITIES, ids=lambda entity: entity.name)
def test_a_table_has_the_columns_that_its_entity_declares(warehouse: Database, entity: Entity) -> None:
    columns = warehouse.rows(
        "select attname, format_type(atttypid, atttypmod) as type from pg_attribute"
        " where attrelid = cast(:name as regclass) and attnum > 0 and not attisdropped",
        name=f"warehouse.{entity.name}",
    )
    assert {row["attname"]: row["type"] for row in columns} == expected_columns(entity)


@pytest.fixture(scope="module")
def loaded(warehouse: Database, tmp_path_factory: pytest.TempPathFactory) -> Database:
    """A warehouse with one position; its roles are granted anew, because a copied database lacks them."""
    schema.create_roles(warehouse.admin_url, dict.fromkeys(schema.ROLES, "only-for-tests"))
    loader = Loader(warehouse, tmp_path_factory.mktemp("staging"), "loaded")
    loader.load("position", [position("p1")])
    loader.engine.dispose()
    return warehouse


READ = "tributary_read"
LOAD = "tributary_load"
GATEWAY = "tributary_gateway"
HEAR = "tributary_listener"


@pytest.mark.parametrize(
    ("role", "statement"),
    [
        (READ, "insert into control.drift (vendor, table_name, field) values ('v', 't', 'f')"),
        (READ, "update warehouse.position set quantity = 2"),
        (READ, "delete from control.ledger"),
        (READ, "select sealed from control.refresh_token"),
        (READ, "select * from control.first_hash"),
        (READ, "select value_hash from warehouse.sealed_value"),
        (READ, "select body from control.inbox"),
        (READ, "select control.receive('s', '', 'h', null, '{}')"),
        (READ, "select warehouse.ensure_month('2001-01-01')"),
        (READ, "create table mart.mine (a int)"),
        (READ, "create temporary table mine (a int)"),
        (GATEWAY, "select inbox_id from control.inbox"),
        (GATEWAY, "insert into control.inbox (sender, body, content_hash, headers) values ('s', '', 'h', '{}')"),
        (GATEWAY, "update control.inbox set processed_at = now()"),
        (GATEWAY, "delete from control.inbox"),
        (GATEWAY, "select vendor from control.ledger"),
        (GATEWAY, "select 1 from warehouse.position"),
        (GATEWAY, "create temporary table mine (a int)"),
        (HEAR, "select body from control.inbox"),
        (HEAR, "update control.inbox set processed_at = now()"),
        (HEAR, "select fields from warehouse.crm_change"),
        (HEAR, "update warehouse.crm_change set fields = '{}'"),
        (HEAR, "select name from warehouse.person"),
        (HEAR, "select 1 from warehouse.position"),
        (HEAR, "select params from control.request"),
        (HEAR, "delete from control.crm_topic"),
        (HEAR, "create temporary table mine (a int)"),
        (LOAD, "delete from warehouse.position"),
        (LOAD, "delete from warehouse.account"),
        (LOAD, "truncate warehouse.position"),
        (LOAD, "truncate control.ledger"),
        (LOAD, "create table warehouse.mine (a int)"),
        (LOAD, "create schema mine"),
        (LOAD, "drop table warehouse.account"),
        (LOAD, "alter table warehouse.account add mine int"),
        (LOAD, "drop index warehouse.position_open"),
        (LOAD, "alter table control.ledger drop constraint load_balances"),
    ],
)
def test_a_role_can_not(loaded: Database, role: str, statement: str) -> None:
    with psycopg.connect(loaded.url(role)) as connection, pytest.raises(errors.InsufficientPrivilege):
        connection.execute(statement)  # type: ignore[call-overload]


def test_the_reading_role_reads_all(loaded: Database) -> None:
    tables = loaded.rows(
        "select format('%I.%I', schemaname, tablename) as name from pg_tables"
        " where schemaname in ('control', 'warehouse')"
        " and tablename not in ('refresh_token', 'inbox', 'api_key', 'answer', 'known_answer', 'first_hash', 'sealed_value', 'cache',"
        " 'identity_state')"
        " union select format('%I.%I', schemaname, viewname) from pg_views where schemaname = 'mart'"
    )
    assert len(tables) > 20
    with psycopg.connect(loaded.url(READ)) as connection:
        for table in tables:
            connection.execute(f"select * from {table['name']} limit 1")  # type: ignore[call-overload]


@pytest.mark.parametrize(
    ("table", "column"),
    [("inbox", "body"), ("answer", "rows"), ("known_answer", "rows"), ("identity_state", "content")],
)
def test_the_reading_role_sees_that_something_came_and_not_what(loaded: Database, table: str, column: str) -> None:
    names = loaded.value(
        "select string_agg(column_name, ', ') from information_schema.columns"
        " where table_schema = 'control' and table_name = :table and column_name <> :column",
        table=table, column=column,
    )  # fmt: skip
    with psycopg.connect(loaded.url(READ)) as connection:
        connection.execute(f"select {names} from control.{table} limit 1")
        with pytest.raises(errors.InsufficientPrivilege):
            connection.execute(f"select {column} from control.{table}")


def test_a_role_that_reads_a_view_may_call_the_functions_in_it(loaded: Database) -> None:
    """A view calls functions with the rights of its reader; the functions of keys call another one that is not public."""
    views = loaded.rows(
        "select distinct r.ev_class::regclass::text as name from pg_depend d join pg_rewrite r on r.oid = d.objid"
        " join pg_proc p on p.oid = d.refobjid where p.proname in ('first_key', 'current_key')"
        " and d.classid = 'pg_rewrite'::regclass and d.refclassid = 'pg_proc'::regclass".replace("::", "\\:\\:")
    )
    assert views
    refused = loaded.rows(
        "select v as view, r as role from unnest(cast(:views as text[])) v, unnest(cast(:roles as text[])) r"
        " where has_table_privilege(r, v, 'select')"
        " and not has_function_privilege(r, 'control.replace_hashes(text, boolean)', 'execute')",
        views=[row["name"] for row in views],
        roles=list(schema.ROLES),
    )
    assert refused == []


def test_a_month_made_by_a_load_has_the_rights_of_its_table(loaded: Database) -> None:
    with psycopg.connect(loaded.url(READ)) as connection:
        assert connection.execute("select count(*) from warehouse.position_2026_11").fetchone() == (1,)
    with psycopg.connect(loaded.url(LOAD)) as connection, pytest.raises(errors.InsufficientPrivilege):
        connection.execute("delete from warehouse.position_2026_11")


def test_migrating_twice_changes_nothing(empty: Database) -> None:
    schema.migrate(empty.url("tributary_migrate"))
    first = read_catalog(empty)
    schema.migrate(empty.url("tributary_migrate"))
    assert len(first) > 100
    assert read_catalog(empty) == first


def test_roles_made_twice_keep_the_newer_password(empty: Database) -> None:
    with psycopg.connect(empty.url(READ)) as connection:
        assert connection.execute("select current_user").fetchone() == (READ,)
    schema.create_roles(empty.admin_url, dict.fromkeys(schema.ROLES, "another-one"))
    try:
        with pytest.raises(psycopg.OperationalError, match="password"):
            psycopg.connect(empty.url(READ))
    finally:
        schema.create_roles(empty.admin_url, dict.fromkeys(schema.ROLES, "only-for-tests"))


def test_optional_role_without_a_password_can_not_log_in(empty: Database) -> None:
    passwords = {role: "only-for-tests" for role in schema.ROLES if role not in schema.OPTIONAL_ROLES}
    try:
        schema.create_roles(empty.admin_url, passwords)
        for role in schema.OPTIONAL_ROLES:
            with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
                psycopg.connect(empty.url(role))
        with pytest.raises(KeyError):
            schema.create_roles(empty.admin_url, {})
    finally:
        schema.create_roles(empty.admin_url, dict.fromkeys(schema.ROLES, "only-for-tests"))


def test_times_are_utc_and_a_lock_is_not_waited_for_ever(warehouse: Database) -> None:
    engine = schema.engine(warehouse.url())
    with engine.connect() as connection:
        settings = [connection.scalar(sa.text(f"show {name}")) for name in ("timezone", "lock_timeout")]
    engine.dispose()
    assert settings == ["UTC", "1min"]


def test_no_transaction_lives_so_long_that_what_was_known_half_an_hour_ago_could_still_change(
    database: Database,
) -> None:
    engine = schema.engine(database.url())
    with engine.connect() as connection:
        assert connection.scalar(sa.text("show transaction_timeout")) == "30min"
    engine.dispose()


def test_the_statement_of_a_killed_process_ends(database: Database) -> None:
    def wait_until_active(sessions: int) -> None:
        end = time.monotonic() + 60
        while database.value("select count(*) from pg_stat_activity where query = 'select pg_sleep(600)'") != sessions:
            assert time.monotonic() < end
            time.sleep(0.05)

    code = f"import psycopg; psycopg.connect({database.url()!r}).execute('select pg_sleep(600)')"
    with subprocess.Popen([sys.executable, "-c", code]) as worker:
        wait_until_active(1)
        worker.kill()
    wait_until_active(0)


def test_a_lost_server_is_noticed_within_its_timeout_or_a_minute(warehouse: Database) -> None:
    named = {"connect_timeout": "10", "keepalives_idle": "30", "keepalives_interval": "10", "keepalives_count": "3"}
    for query, expected in (
        ("", named),
        ("?connect_timeout=3&keepalives_count=9", named | {"connect_timeout": "3", "keepalives_count": "9"}),
    ):
        engine = schema.engine(warehouse.url() + query)
        with engine.connect() as connection:
            assert expected.items() <= connection.connection.dbapi_connection.info.get_parameters().items()  # type: ignore[union-attr]
        engine.dispose()


def test_a_function_with_its_owners_rights_searches_temporary_tables_last(engine: sa.Engine) -> None:
    """Otherwise a caller's temporary table or view would take the place of one of the catalog."""
    with engine.connect() as db:
        paths = (
            db.execute(
                sa.text("""
            select p.oid::regprocedure::text, array_to_string(p.proconfig, ' ') from pg_proc p
            where p.prosecdef and p.pronamespace in ('control'::regnamespace, 'warehouse'::regnamespace, 'mart'::regnamespace)
        """)
            )
            .tuples()
            .all()
        )
    assert len(paths) > 30
    assert [name for name, path in paths if ", pg_temp" not in (path or "")] == []
