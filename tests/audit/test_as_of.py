"""What was known at a time: of every entity before, between and after corrections, with the load that brought each value."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
import sqlalchemy as sa

from include import cli
from include.audit import as_of
from include.audit.as_of import Record
from include.canonical import ENTITIES, Entity
from include.warehouse import schema
from tests.warehouse.loading import DAY, NEXT, Loader, position

VALUES: dict[str, tuple[Any, Any]] = {
    "string": ("sent", "completed"),
    "bool": (False, True),
    "int64": (3, 4),
    "date": (date(2026, 11, 2), date(2026, 11, 3)),
    "timestamp": (datetime(2026, 11, 2, tzinfo=UTC), datetime(2026, 11, 3, tzinfo=UTC)),
}


def build(entity: Entity, version: int) -> dict[str, Any]:
    """Build a row of which every field differs from the row of the other version, except the dates that identify an event."""
    row: dict[str, Any] = {entity.key: "k1"} | dict.fromkeys(entity.references, "p1")
    for name, kind in entity.fields.items():
        first = VALUES.get(kind, (Decimal("0.25"), Decimal("0.5")))
        row[name] = first[0 if name == entity.dated else version]
    return row


@pytest.fixture
def reader(loader: Loader) -> Iterator[sa.Engine]:
    engine = schema.engine(loader.database.url("tributary_read"))
    schema.create_roles(loader.database.admin_url, dict.fromkeys(schema.ROLES, "only-for-tests"))
    yield engine
    engine.dispose()


def read(
    reader: sa.Engine, loader: Loader, entity: str, at: datetime, on: date | None = None, key: str = "k1"
) -> dict[str, Any]:
    """Return value and run by field."""
    rows = as_of.read_record(reader, Record(entity, loader.vendor.name, key), at, on, "Pat")
    return {row["field"]: (row["value"], row["run_id"]) for row in rows}


@pytest.mark.parametrize("entity", ENTITIES, ids=lambda entity: entity.name)
def test_a_record_is_shown_as_known_before_between_and_after_corrections(
    loader: Loader, reader: sa.Engine, entity: Entity
) -> None:
    for column, parent in entity.references.items():
        loader.load(parent, [{column: "p1"} | ({"share_ratio": Decimal(1)} if parent == "account_owner" else {})])
    times = [loader.now()]
    runs = []
    for version in (0, 1, 0):
        loader.load(entity.name, [build(entity, version)])
        runs.append(loader.pull.run_id)
        times.append(loader.now())

    before, first, second, third = (read(reader, loader, entity.name, at) for at in times)

    assert before == {}
    references = {column.replace("_key", "_id") for column in entity.references}
    assert first.keys() - {"currency_code"} == references | entity.fields.keys()
    assert {run for _, run in first.values()} == {runs[0]}
    corrected = {name for name in entity.fields if first[name][0] != second[name][0]}
    assert corrected
    assert {second[name][1] for name in corrected} == {runs[1]}
    assert {second[name][1] for name in second.keys() - corrected} <= {runs[0]}
    if not entity.final and not entity.version:
        assert {name: value for name, (value, _) in third.items()} == {
            name: value for name, (value, _) in first.items()
        }
        assert {third[name][1] for name in corrected} == {runs[2]}


def person(name: str, email: str) -> dict[str, Any]:
    return {"person_key": "k1", "name": name, "email": email}


def test_each_value_names_the_run_that_brought_it(loader: Loader, reader: sa.Engine) -> None:
    loader.load("person", [person("Ada", "ada@example.com")], DAY)
    loader.load("person", [person("Eva", "ada@example.com")], NEXT)
    loader.load("person", [person("Eva", "ada@example.com")], NEXT)
    shown = read(reader, loader, "person", loader.now())
    assert shown["name"] == ("Eva", "run-2")
    assert shown["email"] == ("ada@example.com", "run-1")


def test_a_version_of_an_earlier_day_is_shown_with_the_run_that_brought_it(loader: Loader, reader: sa.Engine) -> None:
    loader.load("person", [person("Ada", "ada@example.com")], DAY)
    loader.load("person", [person("Eva", "ada@example.com")], NEXT)
    assert read(reader, loader, "person", loader.now(), DAY)["name"] == ("Ada", "run-1")
    assert read(reader, loader, "person", loader.now(), DAY - timedelta(days=1)) == {}


def test_a_position_is_shown_on_its_business_date_or_on_the_newest(loader: Loader, reader: sa.Engine) -> None:
    loader.load("security", [{"security_key": "s1"}])
    loader.load("account", [{"account_key": "a1"}])
    loader.load("position", [position("k1", 5)], DAY)
    loader.load("position", [position("k1", 6)], NEXT)
    assert read(reader, loader, "position", loader.now())["quantity"][0] == 6
    assert read(reader, loader, "position", loader.now(), DAY)["quantity"][0] == 5


def test_a_position_that_was_withdrawn_and_returns_comes_from_the_run_that_brought_it_back(
    loader: Loader, reader: sa.Engine
) -> None:
    loader.load("security", [{"security_key": "s1"}])
    loader.load("account", [{"account_key": "a1"}])
    for rows in ([position("k1", 5), position("k2")], [position("k2")], [position("k1", 5), position("k2")]):
        loader.load("position", rows)
    assert read(reader, loader, "position", loader.now())["quantity"] == (5, loader.pull.run_id)


def test_a_value_shows_the_partition_and_the_calls_of_its_run(loader: Loader, reader: sa.Engine) -> None:
    loader.load("person", [person("Ada", "ada@example.com")])
    for minute, table in ((1, "person"), (2, "person"), (3, "household")):
        loader.database.do(
            "insert into control.api_call (called_at, vendor, table_name, path, status, latency_ms, bytes, run_id)"
            " values (:at, :vendor, :table, '/persons', 200, 5, 9, 'run-1')",
            at=datetime(2026, 11, 21, 6, minute, tzinfo=UTC), vendor=loader.vendor.name, table=table,
        )  # fmt: skip
    [row] = [
        row
        for row in as_of.read_record(reader, Record("person", loader.vendor.name, "k1"), loader.now(), None, "Pat")
        if row["field"] == "name"
    ]
    assert row["partition"] == loader.partition.path
    assert (row["calls"], row["paths"]) == (2, ["/persons"])
    assert row["first_call_at"] == datetime(2026, 11, 21, 6, 1, tzinfo=UTC)


@pytest.fixture
def corrected(loader: Loader) -> tuple[Loader, datetime]:
    """A firm whose position is corrected, and whose second household arrives, on the next day; and a time between."""
    loader.load("security", [{"security_key": "s1"}])
    loader.load("household", [{"household_key": "h1"}])
    loader.load("person", [person("Ada", "ada@example.com")])
    loader.load("account", [{"account_key": "a1"}])
    loader.load("position", [position("k1", 5)], DAY)
    between = loader.now()
    loader.load("position", [position("k1", 7)], DAY)
    loader.load("household", [{"household_key": "h1"}, {"household_key": "h2"}], NEXT)
    return loader, between


def totals(reader: sa.Engine, loader: Loader, at: datetime) -> dict[tuple[date, str], tuple[int, Any]]:
    rows = as_of.read_firm(reader, at, None, None, "Pat")
    mine = [row for row in rows if row["vendor"] == loader.vendor.name]
    return {(row["business_date"], row["entity"]): (row["records"], row["market_value_usd"]) for row in mine}


def test_the_firm_is_shown_as_known_before_and_after_corrections(
    corrected: tuple[Loader, datetime], reader: sa.Engine
) -> None:
    loader, between = corrected
    counted = {(DAY, name): (1, None) for name in ("household", "person", "account")}
    assert totals(reader, loader, between) == counted | {(DAY, "position"): (1, 5)}
    assert totals(reader, loader, loader.now()) == counted | {
        (DAY, "position"): (1, 7), (NEXT, "household"): (2, None), (NEXT, "person"): (1, None), (NEXT, "account"): (1, None),
    }  # fmt: skip


def test_a_total_names_the_loads_that_brought_its_rows(corrected: tuple[Loader, datetime], reader: sa.Engine) -> None:
    loader, between = corrected
    for at, run in ((between, "run-5"), (loader.now(), "run-6")):
        rows = as_of.read_firm(reader, at, DAY, DAY, "Pat")
        [row] = [row for row in rows if (row["vendor"], row["entity"]) == (loader.vendor.name, "position")]
        assert [source["run_id"] for source in row["sources"]] == [run]


def test_reading_is_recorded_in_the_audit_trail(loader: Loader, reader: sa.Engine) -> None:
    as_of.read_record(reader, Record("person", loader.vendor.name, "k9"), loader.now(), DAY, "Pat")
    [entry] = loader.rows("select * from control.audit where subject = 'person ' || :vendor || ' k9'")
    assert (entry["actor"], entry["action"], entry["database_user"]) == ("Pat", "as_of.read", "tributary_read")
    assert entry["details"]["on"] == "2026-11-20"


@pytest.fixture
def command(loader: Loader, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The command with the environment that it needs."""
    schema.create_roles(loader.database.admin_url, dict.fromkeys(schema.ROLES, "only-for-tests"))
    monkeypatch.setenv("TRIBUTARY_READ_URL", loader.database.url("tributary_read"))
    loader.load("person", [person("Ada", "ada\x1b[2J@example.com")])
    return ["as-of", "--by", "Pat", "--at", loader.now().isoformat(), "--vendor", loader.vendor.name, "--key", "k1"]


def test_the_command_prints_a_table(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([*command, "--entity", "person"]) == 0
    title, header, *lines = capsys.readouterr().out.splitlines()
    assert title.startswith("person k1 of vendor")
    assert header.split()[:4] == ["field", "value", "known_from", "run_id"]
    assert any(line.startswith("email") and "ada?[2J@example.com" in line for line in lines)


def test_the_command_finds_a_record_by_our_own_id_and_prints_json(
    command: list[str], loader: Loader, capsys: pytest.CaptureFixture[str]
) -> None:
    [row] = loader.rows("select id from warehouse.source_key where vendor = :vendor and entity = 'person'")
    assert cli.main([*command[:5], "--id", str(row["id"]), "--json"]) == 0
    [record] = json.loads(capsys.readouterr().out)
    assert (record["entity"], record["key"]) == ("person", "k1")
    assert {field["field"]: field["value"] for field in record["fields"]}["name"] == "Ada"


def test_the_command_prints_the_firm(command: list[str], loader: Loader, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([*command[:5], "--firm", "--first", "2026-11-20"]) == 0
    assert f"2026-11-20     {loader.vendor.name}" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["--entity", "person", "--on", "2026-01-05"], "DataQualityError: The record was not known at this time"),
        (["--entity", "nothing"], "ConfigurationError: The name is neither an entity nor a loaded table"),
        (["--id", "x"], "ConfigurationError: The id is not a number"),
        (["--id", "999999999"], "DataQualityError: No record has this id"),
        (["--entity", "person", "--on", "x"], "ConfigurationError: The date is not like 2026-12-01"),
        ([], "ConfigurationError: Name a record"),
    ],
)
def test_the_command_explains_what_it_can_not_show(
    command: list[str], arguments: list[str], error: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main([*command, *arguments]) == 1
    assert capsys.readouterr().err.splitlines()[-1].startswith(error)
