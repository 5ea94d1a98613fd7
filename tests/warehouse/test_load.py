"""A load is atomic, and one of several concurrent loads wins."""

from __future__ import annotations

import json
import random
import string
from decimal import Decimal
from typing import Any

import pytest
import sqlalchemy as sa

from include.control.ledger import Pull
from include.errors import BalanceError, TributaryError, WriterSuperseded
from include.staging.partitions import Staging
from include.warehouse import schema
from include.warehouse.load import load
from tests.firm_keys import KEYRING
from tests.forked import submit
from tests.warehouse.loading import DAY, NEXT, Loader, declare, position, summarize

TABLES = ("warehouse.position", "warehouse.account", "warehouse.person", "control.ledger")


def read_tables(loader: Loader) -> list[list[dict[str, Any]]]:
    return [loader.rows(f"select * from {table} where vendor = :vendor") for table in TABLES]


def falsify(loader: Loader, **values: Any) -> None:
    """Overwrite values in the manifest of the transformed partition."""
    folder = loader.partition.folder.below(f"canonical/{loader.pull.table_name}")
    manifest = json.loads(folder.read("manifest.json"))
    folder.write("manifest.json", json.dumps(manifest | values).encode())


@pytest.mark.parametrize("claim", [{"money": "3.01"}, {"money": "2.99"}, {"produced": 3}, {"produced": 1}])
def test_what_does_not_balance_commits_nothing(loader: Loader, claim: dict[str, Any]) -> None:
    loader.load("position", [position("A", 7)])
    before = read_tables(loader)
    loader.stage("position", [position("A", 1), position("B", 2)])
    falsify(loader, **claim)
    with pytest.raises(BalanceError):
        loader.publish()
    assert read_tables(loader) == before
    falsify(loader, money="3.00", produced=2)
    assert summarize(loader.publish()) == {"inserted": 1, "updated": 1}


def test_a_key_that_no_index_can_hold_is_refused_for_good(loader: Loader) -> None:
    key = "".join(random.Random(1).choices(string.ascii_letters, k=5000))
    for rows in ([position(key)], [position("A", account=key)]):
        loader.stage("position", rows)
        with pytest.raises(BalanceError, match=r"rejects the rows.*cause=ProgramLimitExceeded"):
            loader.publish()


def test_money_that_is_changed_in_the_database_meanwhile_stops_the_load(loader: Loader) -> None:
    """The sum is computed from the stored rows, not from the rows sent."""
    loader.database.do(
        "create function warehouse.skim() returns trigger language plpgsql as"
        " $$ begin new.market_value_usd := new.market_value_usd - 0.01; return new; end $$"
    )
    loader.stage("position", [position("A", 1), position("B", 2)], NEXT)
    loader.database.do(
        "create trigger skim before insert on warehouse.position for each row execute function warehouse.skim()"
    )
    try:
        with pytest.raises(BalanceError, match="does not balance"):
            loader.publish()
    finally:
        loader.database.do("drop function warehouse.skim cascade")
    assert loader.rows("select from warehouse.position where vendor = :vendor") == []


def test_a_load_that_is_taken_over_half_way_changes_nothing(loader: Loader) -> None:
    """The newer writer starts after the older one has written its rows and before it commits."""
    loader.stage("position", [position("A", 1)])
    older = (loader.pull, loader.partition)
    loader.stage("position", [position("A", 2)])
    newer = (loader.pull, loader.partition)
    engine = schema.engine(loader.database.url())

    @sa.event.listens_for(engine, "after_cursor_execute")
    def overtake(connection: Any, cursor: Any, statement: str, *_: Any) -> None:
        if statement.startswith("select sum(market_value_usd) from warehouse.position"):
            load(loader.engine, loader.vendor, {newer[1]: newer[0]})

    with pytest.raises(WriterSuperseded):
        load(engine, loader.vendor, {older[1]: older[0]})
    engine.dispose()
    rows = loader.rows("select quantity, recorded_to from warehouse.position where vendor = :vendor")
    assert rows == [{"quantity": Decimal(2), "recorded_to": None}]


def test_a_load_whose_session_can_not_be_ended_finds_out_before_it_commits(loader: Loader) -> None:
    """The new writer may not see the older session; then the fence alone must stop it."""
    loader.stage("position", [position("A", 1)])
    before = read_tables(loader)

    @sa.event.listens_for(loader.engine, "after_cursor_execute")
    def overtake(connection: Any, cursor: Any, statement: str, *_: Any) -> None:
        if statement.startswith("select sum(market_value_usd) from warehouse.position"):
            loader.database.do("update control.writer set fence = nextval('control.fence')")

    with pytest.raises(WriterSuperseded):
        loader.publish()
    sa.event.remove(loader.engine, "after_cursor_execute", overtake)
    assert read_tables(loader)[0] == before[0] == []


def load_elsewhere(url: str, folder: str, vendor: str, pull: Pull, path: str) -> str:
    """Load in a process of its own; return "loaded" or the name of the error."""
    engine = schema.engine(url)
    try:
        load(engine, declare(vendor), {Staging(folder, KEYRING.staging).open(path): pull})
    except TributaryError as error:
        return type(error).__name__
    finally:
        engine.dispose()
    return "loaded"


def test_of_two_processes_with_the_same_partition_one_wins(loader: Loader, tmp_path: Any) -> None:
    loader.staging = Staging(str(tmp_path), KEYRING.staging)
    for turn in range(4):
        pulls = []
        for units in (1, 2):
            loader.stage("position", [position(f"P{n}", units + turn * 10) for n in range(400)])
            pulls.append((loader.pull, loader.partition.path))
        jobs = [
            submit(load_elsewhere, loader.database.url(), str(tmp_path), loader.vendor.name, *pull)
            for pull in pulls[:: 1 if turn % 2 else -1]
        ]
        outcomes = [job.result() for job in jobs]
        assert "loaded" in outcomes
        assert set(outcomes) <= {"loaded", "WriterSuperseded", "TargetUnavailable"}
        open_rows = loader.rows(
            "select count(*) as rows, count(distinct position_key) as keys, min(quantity), max(quantity)"
            " from warehouse.position where vendor = :vendor and recorded_to is null"
        )[0]
        assert (open_rows["rows"], open_rows["keys"]) == (400, 400)
        assert open_rows["min"] == open_rows["max"], "rows of both writers are open"
        last = loader.rows(
            "select pull_id from control.ledger where vendor = :vendor and stage = 'load' order by extracted_at desc"
        )[0]
        assert open_rows["max"] == turn * 10 + (2 if last["pull_id"] == pulls[1][0].pull_id else 1)


def test_every_entity_of_a_table_is_loaded_or_none(loader: Loader) -> None:
    """A table may produce several entities in one load; here the second of two does not balance."""
    from dataclasses import replace

    maps = tuple(replace(m, table="position") if m.entity == "account" else m for m in loader.vendor.maps)
    maps = tuple(
        replace(m, columns={"account_key": "account_key"}, merged=True) if m.entity == "account" else m for m in maps
    )
    loader.vendor = replace(loader.vendor, maps=maps)
    loader.stage("position", [position("A", 1)], DAY)
    falsify(loader, money="0.00")
    with pytest.raises(BalanceError):
        loader.publish()
    assert read_tables(loader) == [[], [], [], []]
