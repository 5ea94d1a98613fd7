"""Retained values: sealed on the way to the warehouse, stored once, and opened by one role, after an entry in the audit trail."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pyarrow as pa
import pytest
import sqlalchemy as sa
from psycopg import errors

from include import cli
from include.control.ledger import Counts
from include.errors import ConfigurationError, DataQualityError, InputRejected
from include.keys import register
from include.keys.keyring import OPENING, Keyring, generate_value_key
from include.pipeline import vendor_day
from include.rebuild.command import rebuild
from include.transform.entities import Canonical
from include.vendors.orion import ORION
from include.warehouse import schema, sealed_values
from local.postgres import Postgres
from tests.conftest import Firm, connect, new_database
from tests.firm_keys import write_keyring
from tests.running_sandbox import run_sandbox

PUBLIC, PRIVATE = generate_value_key("first")
TASKS = Keyring.parse(f"{write_keyring()} {PUBLIC}")
HASH = next(each for each in write_keyring().split() if each.startswith("hash:"))
OPENER = Keyring.parse(f"{HASH} {PRIVATE}", (OPENING, "hash"))
RETAINED = json.dumps({"registrations": ["tax_id"], "accounts": ["account_number"]})
TABLES = ("representatives", "clients", "registrations", "accounts")
OTHERS = ("tributary_load", "tributary_read", "tributary_listener", "tributary_gateway", "tributary_api", "tributary_web", "tributary_analyst")  # fmt: skip


def run_day(firm: Firm) -> dict[str, Counts]:
    """Pull and load a day of persons and accounts; no check of a whole table is made."""
    partitions = firm.stage(run := firm.new_run(), *TABLES)
    vendor_day.validate(firm.vendor_run(run), list(partitions.values()), rows_only=True)
    return firm.publish(run, partitions)


@pytest.fixture(scope="module")
def firm(postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Firm]:
    """A firm that retains tax ids and account numbers, after one day. Its tests share it and change none of its values."""
    folder = tmp_path_factory.mktemp("values")
    with new_database(postgres) as database, run_sandbox(folder / "sandbox", households=4) as sandbox:
        firm = Firm(ORION, sandbox, database, folder)
        firm.use(TASKS)
        register.check(firm.engine, TASKS)
        firm.connection = connect(sandbox, ORION, retained=RETAINED)
        run_day(firm)
        sandbox.log_in(1)  # as a partner to whom Orion shows whole numbers
        yield firm
        firm.engine.dispose()


@pytest.fixture(scope="module")
def opener(firm: Firm) -> Iterator[sa.Engine]:
    engine = schema.engine(firm.database.url("tributary_values"))
    yield engine
    engine.dispose()


@pytest.fixture(scope="module")
def tax_ids(firm: Firm) -> dict[str, str]:
    """Key of a person at the vendor -> the tax id that the vendor sends."""
    rows = firm.sandbox.rows("Portfolio/Registrations")
    return {str(row["id"]): row["ssN_TaxID"] for row in rows if row["ssN_TaxID"] and "Trust" not in row["name"]}


def find_two(tax_ids: dict[str, str]) -> tuple[str, str]:
    """Return the keys of two persons with different tax ids."""
    first, *others = tax_ids
    return first, next(key for key in others if tax_ids[key] != tax_ids[first])


def test_each_value_is_opened_as_the_vendor_sent_it(firm: Firm, opener: sa.Engine, tax_ids: dict[str, str]) -> None:
    assert len(tax_ids) > 4
    for key, value in tax_ids.items():
        values = sealed_values.open_values(opener, OPENER, "person", f"orion:{key}", "Pat", "1099")
        assert (key, value) in [(each.key, each.value) for each in values]


def test_account_number_is_opened_by_our_id(firm: Firm, opener: sa.Engine) -> None:
    row = next(each for each in firm.sandbox.rows("Portfolio/Accounts") if each["number"])
    query = "select id from warehouse.source_key where entity = 'account' and source_key = :key"
    record = firm.database.value(query, key=str(row["id"]))
    values = sealed_values.open_values(opener, OPENER, "account", str(record), "Pat", "transfer")
    assert row["number"] in [each.value for each in values]


def test_tax_id_of_a_trust_is_opened(firm: Firm, opener: sa.Engine) -> None:
    trust = next(row for row in firm.sandbox.rows("Portfolio/Registrations") if "Trust" in row["name"])
    [value] = sealed_values.open_values(opener, OPENER, "legal_entity", f"orion:{trust['id']}", "Pat", "1041")
    assert value.value == trust["ssN_TaxID"]


def test_linked_records_are_opened_together(firm: Firm, opener: sa.Engine, tax_ids: dict[str, str]) -> None:
    first, second = find_two(tax_ids)
    query = "select id from warehouse.source_key where entity = 'person' and source_key = :key"
    ids = [firm.database.value(query, key=key) for key in (first, second)]
    firm.database.do(
        "insert into warehouse.identity (entity, id, identity_id, recorded_from, source_run_id) values ('person', :own, :other, now(), 'r')",
        own=ids[0], other=ids[1],
    )  # fmt: skip
    for reference in (f"orion:{first}", f"orion:{second}"):
        values = sealed_values.open_values(opener, OPENER, "person", reference, "Pat", "1099")
        assert {each.key: each.value for each in values} == {key: tax_ids[key] for key in (first, second)}
    firm.database.do("delete from warehouse.identity")


def test_next_day_adds_only_new_values_and_logs_none(
    firm: Firm, tax_ids: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    query = "select * from warehouse.sealed_value order by 1, 2, 3, 4"
    before = firm.database.rows(query)
    counts = run_day(firm)
    assert counts["person"].updated == 0
    assert firm.database.rows(query) == before
    assert len([row for row in before if row["entity"] == "person"]) == len(tax_ids)
    assert "registrations" in caplog.text
    assert not [value for value in tax_ids.values() if value in caplog.text]


def test_setting_leaves_all_other_rows_unchanged(firm: Firm, postgres: Postgres, tmp_path: Path) -> None:
    """The versions of persons and accounts, and the balance of their loads, are those of a firm that retains nothing."""
    queries = [
        "select vendor, person_key, name, tax_id_hash, tax_id_last4, birth_date from warehouse.person order by 2",
        "select vendor, account_key, name, account_number_hash, account_number_last4 from warehouse.account order by 2",
        "select table_name, entity, stage, fetched, staged, produced, inserted from control.ledger where run_id = 'run-1' order by 1, 2, 3",
    ]
    with new_database(postgres) as database:
        other = Firm(ORION, firm.sandbox, database, tmp_path)
        run_day(other)
        other.engine.dispose()
        assert [database.rows(query) for query in queries] == [firm.database.rows(query) for query in queries]
        assert database.value("select count(*) from warehouse.sealed_value") == 0


def test_no_clear_value_is_in_a_file_a_table_or_the_log(
    firm: Firm, postgres: Postgres, tax_ids: dict[str, str]
) -> None:
    firm.database.do("checkpoint")
    numbers = {row["number"] for row in firm.sandbox.rows("Portfolio/Accounts") if row["number"]}
    canaries = {text.encode() for value in tax_ids.values() for text in (value, value.replace("-", ""))}
    canaries |= {number.encode() for number in numbers}
    home = postgres.data_dir.resolve() / "cluster"
    database = firm.database.value("select oid from pg_database where datname = current_database()")
    places = [
        home / "base" / str(database),
        home / "pg_wal",
        firm.folder / "staging",
        postgres.data_dir.resolve() / "log",
    ]
    files = [path for place in places for path in place.rglob("*") if path.is_file()]
    hash_ = firm.database.value(
        "select tax_id_hash from warehouse.person where tax_id_hash is not null limit 1"
    ).encode()
    contents = [path.read_bytes() for path in files]
    assert any(hash_ in content for content in contents)  # the search sees the rows
    assert [
        path for path, content in zip(files, contents, strict=True) if any(each in content for each in canaries)
    ] == []


def test_staged_and_canonical_rows_have_only_the_sealed_value(firm: Firm, tax_ids: dict[str, str]) -> None:
    paths = [path for path in firm.site.staging.list_partitions() if "/registrations/" in path]
    partition = firm.site.staging.open(paths[0])
    tables = [rows for _, rows in partition.rows()] + list(Canonical(partition.folder, "person").rows())
    for rows in tables:
        content = json.dumps(rows.to_pylist(), default=repr)
        assert rows.column("tax_id_sealed").null_count < rows.num_rows
        assert pa.types.is_binary(rows.schema.field("tax_id_sealed").type)
        assert not [value for value in tax_ids.values() if value in content]


# --- opening -----------------------------------------------------------------------------------------------------------


def test_entry_of_the_audit_trail_names_actor_reason_and_key_and_no_value(
    firm: Firm, opener: sa.Engine, tax_ids: dict[str, str]
) -> None:
    key, value = next(iter(tax_ids.items()))
    sealed_values.open_values(opener, OPENER, "person", f"orion:{key}", "Pat", "Form 5498")
    [entry] = firm.database.rows("select * from control.audit where details ->> 'reason' = 'Form 5498'")
    assert (entry["action"], entry["actor"], entry["database_user"]) == ("value.opened", "Pat", "tributary_values")
    assert entry["subject"] == f"person orion {key}"
    fingerprint = TASKS.keys[-1].fingerprint
    assert [(each["key"], each["key_fingerprint"]) for each in entry["details"]["records"]] == [(key, fingerprint)]
    assert value not in str(entry)
    assert firm.database.value("select tax_id_hash from warehouse.person where person_key = :key", key=key) not in str(
        entry
    )


def test_no_value_is_read_before_its_entry_is_committed(firm: Firm, tax_ids: dict[str, str]) -> None:
    request = "select control.request_values('person', 'orion', %s, 'tax_id', 'Pat', '1099')"
    with psycopg.connect(firm.database.url("tributary_values")) as connection, connection.transaction():
        entry = connection.execute(request, [next(iter(tax_ids))]).fetchone()
        with pytest.raises(errors.InsufficientPrivilege, match="No committed entry"):
            connection.execute("select * from control.read_values(%s)", entry)


@pytest.mark.parametrize("action", ["person.forgotten", "value.opened"])
def test_no_other_entry_allows_to_read_a_value(firm: Firm, action: str) -> None:
    """Not one of another role or action, and none that is older than a minute."""
    user = "tributary_values" if action == "person.forgotten" else "tributary_load"
    firm.database.do(
        "insert into control.audit (happened_at, database_user, actor, action, subject, details)"
        " select clock_timestamp(), :user, 'x', :action, 'x', details from control.audit where action = 'value.opened' limit 1",
        user=user, action=action,
    )  # fmt: skip
    entry = firm.database.value("select max(entry_id) from control.audit")
    with (
        psycopg.connect(firm.database.url("tributary_values")) as connection,
        pytest.raises(errors.InsufficientPrivilege, match="No committed entry"),
    ):
        connection.execute("select * from control.read_values(%s)", [entry])


@pytest.mark.parametrize("role", ["tributary_load", "tributary_web"])
def test_no_role_can_report_that_a_value_was_opened(firm: Firm, role: str) -> None:
    report = "select control.record_audit('Pat', 'value.opened', 'person orion 1', '{}')"
    with (
        psycopg.connect(firm.database.url(role)) as connection,
        pytest.raises(errors.InsufficientPrivilege, match="Only the database writes entries"),
    ):
        connection.execute(report)


@pytest.mark.parametrize(("actor", "reason"), [("Pat", ""), ("Pat", "  "), ("", "1099")])
def test_value_is_refused_without_actor_or_reason(
    firm: Firm, opener: sa.Engine, tax_ids: dict[str, str], actor: str, reason: str
) -> None:
    key = next(iter(tax_ids))
    with pytest.raises(InputRejected, match="State who opens the value, and why"):
        sealed_values.open_values(opener, OPENER, "person", f"orion:{key}", actor, reason)
    values = {"key": key, "actor": actor, "reason": reason}
    request = "select control.request_values('person', 'orion', %(key)s, 'tax_id', %(actor)s, %(reason)s)"
    with (
        psycopg.connect(firm.database.url("tributary_values")) as connection,
        pytest.raises(errors.InsufficientPrivilege, match="actor and a reason"),
    ):
        connection.execute(request, values)


@pytest.mark.parametrize("role", OTHERS)
def test_no_other_role_reads_or_opens_a_value(firm: Firm, role: str) -> None:
    statements = [
        "select sealed from warehouse.sealed_value",
        "select control.request_values('person', 'orion', '1', 'tax_id', 'x', 'y')",
        "select * from control.read_values(1)",
        "update warehouse.sealed_value set sealed = sealed",
        "delete from warehouse.sealed_value",
        "copy warehouse.sealed_value to stdout",
    ]
    with psycopg.connect(firm.database.url(role), autocommit=True) as connection:
        for statement in statements:
            with pytest.raises(errors.InsufficientPrivilege):
                connection.execute(statement)  # type: ignore[call-overload]


def test_opening_role_reads_nothing_else(firm: Firm) -> None:
    query = (
        "select n.nspname || '.' || c.relname as name from pg_class c join pg_namespace n on n.oid = c.relnamespace"
        " where n.nspname in ('control', 'warehouse', 'mart') and c.relkind in ('r', 'p', 'v')"
        " and has_any_column_privilege('tributary_values', c.oid, 'select, insert, update')"
    )
    assert [row["name"] for row in firm.database.rows(query)] == ["control.key"]


def test_tasks_have_no_key_that_opens(firm: Firm) -> None:
    with pytest.raises(ConfigurationError, match="tasks must not have it"):
        Keyring.parse(f"{write_keyring()} {PUBLIC} {PRIVATE}")
    assert OPENING not in {key.purpose for key in TASKS.keys}


def test_private_key_that_is_not_the_registered_one_is_refused(firm: Firm, opener: sa.Engine) -> None:
    other = Keyring.parse(f"{HASH} {generate_value_key('first')[1]}", (OPENING, "hash"))
    with pytest.raises(ConfigurationError, match="differs from the one that this database was written with"):
        sealed_values.open_values(opener, other, "person", "1", "Pat", "1099")


def test_moved_value_is_not_shown(firm: Firm, opener: sa.Engine, tax_ids: dict[str, str]) -> None:
    first, second = find_two(tax_ids)
    of_key = "id = (select id from warehouse.source_key where entity = 'person' and source_key = :{})"
    query = "select sealed from warehouse.sealed_value where entity = 'person' and "
    own, other = (firm.database.value(query + of_key.format("key"), key=key) for key in (first, second))
    change = "update warehouse.sealed_value set sealed = :sealed where entity = 'person' and " + of_key.format("key")
    firm.database.do(change, sealed=other, key=first)
    with pytest.raises(DataQualityError, match="moved from another one"):
        sealed_values.open_values(opener, OPENER, "person", f"orion:{first}", "Pat", "1099")
    firm.database.do(change, sealed=own, key=first)


def test_value_under_an_unknown_key_is_not_stored(firm: Firm) -> None:
    other = Keyring.parse(f"{write_keyring()} {generate_value_key('other')[0]}")
    sealed = other.redactor.seal("123-45-6789")
    for content in (sealed, b"123-45-6789"):
        with pytest.raises(sa.exc.IntegrityError, match="not sealed under a registered value key"):
            firm.database.do(
                "insert into warehouse.sealed_value (entity, id, name, value_hash, sealed, source_run_id)"
                " values ('person', 1, 'tax_id', 'h', :sealed, 1)",
                sealed=content,
            )


def test_command_opens_a_value(
    firm: Firm, tax_ids: dict[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    key, value = next(iter(tax_ids.items()))
    monkeypatch.setenv("TRIBUTARY_VALUES_URL", firm.database.url("tributary_values"))
    monkeypatch.setenv("TRIBUTARY_OPENING_KEYS", f"{HASH} {PRIVATE}")
    assert cli.main(["open-value", "--person", f"orion:{key}", "--reason", "1099", "--by", "Pat"]) == 0
    assert capsys.readouterr().out == f"orion:{key} {value}\n"
    assert cli.main(["open-value", "--person", "orion:none", "--reason", "1099"]) == 1
    assert "none of its values is retained" in capsys.readouterr().err


def test_exposed_lists_who_opened_a_value(firm: Firm, opener: sa.Engine, tax_ids: dict[str, str]) -> None:
    sealed_values.open_values(opener, OPENER, "person", f"orion:{next(iter(tax_ids))}", "Robin", "1099")
    rows = firm.database.rows("select * from mart.exposure(null, 'Robin', '-infinity', 'infinity')")
    assert [(row["client"], row["data_kinds"], row["actions"]) for row in rows] == [
        ("person", ["tax id (in clear)"], ["value.opened"])
    ]


# --- the end of a value -------------------------------------------------------------------------------------------------


def test_values_are_sealed_again_under_a_new_key(firm: Firm, tax_ids: dict[str, str]) -> None:
    public, private = generate_value_key("second")
    tasks = Keyring.parse(f"{write_keyring()} {PUBLIC} {public}")
    both = Keyring.parse(f"{HASH} {PRIVATE} {private}", (OPENING, "hash"))
    owner = schema.engine(firm.database.url("tributary_migrate"))
    engine = schema.engine(firm.database.url("tributary_values"))
    before = firm.database.rows("select * from warehouse.sealed_value order by 1, 2, 3, 4")
    register.add(owner, tasks)
    assert sealed_values.reseal(owner, both, "Pat") == len(before)
    assert sealed_values.count_by_key(owner) == {"second": len(before)}
    only_new = Keyring.parse(f"{HASH} {private}", (OPENING, "hash"))
    key, value = next(iter(tax_ids.items()))
    values = sealed_values.open_values(engine, only_new, "person", f"orion:{key}", "Pat", "1099")
    assert [each.value for each in values] == [value]
    for row in before:
        firm.database.do(
            "update warehouse.sealed_value set sealed = :sealed where (entity, id, name, value_hash) = (:entity, :id, :name, :value_hash)",
            **{name: row[name] for name in ("sealed", "entity", "id", "name", "value_hash")},
        )
    for each in (owner, engine):
        each.dispose()


def test_replaced_value_is_disposed_of_after_its_period(firm: Firm, tax_ids: dict[str, str]) -> None:
    measure = "select row_count from control.measure_expired('warehouse.sealed_value', interval '40 days')"
    assert firm.database.value(measure) == 0
    key = next(iter(tax_ids))
    record = firm.database.value("select person_id from warehouse.person where person_key = :key", key=key)
    row = firm.database.rows("select * from warehouse.sealed_value where id = :id", id=record)[0]
    firm.database.do(
        "insert into warehouse.sealed_value (entity, id, name, value_hash, sealed, recorded_from, source_run_id)"
        " values ('person', :id, 'tax_id', 'an earlier value', :sealed, now() - interval '50 days', 1)",
        id=record, sealed=row["sealed"],
    )  # fmt: skip
    assert firm.database.value(measure) == 1
    firm.database.do("delete from warehouse.sealed_value where value_hash = 'an earlier value'")


def test_rebuild_creates_the_sealed_values_again(firm: Firm, postgres: Postgres) -> None:
    query = "select entity, name, value_hash, sealed from warehouse.sealed_value order by 1, 2, 3, 4"
    with new_database(postgres) as database:
        list(rebuild(database.url("tributary_migrate"), None, firm.site.staging, TASKS))
        rebuilt = database.rows(query)
    expected = firm.database.rows(query)
    assert [(row["name"], row["value_hash"]) for row in rebuilt] == [
        (row["name"], row["value_hash"]) for row in expected
    ]
    assert {OPENER.opener.open(bytes(row["sealed"])) for row in rebuilt} == {
        OPENER.opener.open(bytes(row["sealed"])) for row in expected
    }
