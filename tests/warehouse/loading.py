"""Canonical rows of an invented vendor, staged, transformed and loaded by the product."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import sqlalchemy as sa
from hypothesis import HealthCheck, settings

from include import canonical
from include.canonical import ENTITIES, Entity
from include.contract import Basic, Budget, EntityMap, Table, Vendor, arrow, column
from include.control import dead_letters
from include.control.dead_letters import DeadLetter
from include.control.ledger import Counts, Pull
from include.database.driver import find_driver
from include.staging.files import PartWriter
from include.staging.partitions import FAULTS, Manifest, Staging
from include.staging.reference import partition_path
from include.transform import entities
from include.warehouse import schema
from include.warehouse.load import load
from tests.conftest import Database
from tests.firm_keys import KEYRING

DAY = date(2026, 11, 20)
NEXT = date(2026, 11, 23)
Known = dict[str, tuple[Any, ...]]
QUICK = settings(
    max_examples=25, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
"""Settings of a property whose cases load into the database."""
EDITED = datetime(2026, 11, 20, 20, tzinfo=UTC)
"""Time of the edit of events at hour 0."""
_NIGHT = datetime(2026, 11, 21, 6, tzinfo=UTC)


def declare(name: str) -> Vendor:
    """Declare a vendor whose tables are our own entities, column by column."""
    return Vendor(
        name=name,
        title=name,
        notes="",
        login=Basic(),
        tables=tuple(_table(entity) for entity in ENTITIES),
        maps=tuple(EntityMap(e.name, e.name, {c: c for c in e.columns if c != "business_date"}) for e in ENTITIES),
        cron="0 6 * * 1-5",
        budget=Budget(600),
    )


def _table(entity: Entity) -> Table:
    columns = {name: type_name for name, type_name in entity.columns.items() if name != "business_date"}
    return Table(
        entity.name,
        entity.name,
        (entity.key,),
        tuple(column(name, name, type_name) for name, type_name in columns.items()),
        "snapshot" if entity.kind == "snapshot" else "full",
        money=entity.money,
    )


class Loader:
    """One vendor's loads, each a minute after the previous one.

    Attributes:
        pull: The last pull.
        partition: Its partition.
    """

    def __init__(self, database: Database, folder: Path, name: str, after: Loader | None = None) -> None:
        self.database, self.vendor = database, declare(name)
        self.engine = schema.engine(database.url())
        self.staging = Staging(str(folder), KEYRING.staging)
        self._pulls = 0
        if after:  # in a copy of its database
            self._pulls, self.pull = after._pulls, after.pull

    def stage(
        self,
        entity: str,
        rows: Iterable[Mapping[str, Any]],
        day: date = DAY,
        *,
        pulled: str = "current",
        is_past: bool = False,
        dead: Iterable[str | DeadLetter] = (),
        push: int | None = None,
        is_ahead: bool = False,
    ) -> None:
        """Stage and transform rows (omitted fields are null).

        Args:
            dead: Unreadable rows, by key or as a dead letter.
            is_ahead: Whether the pull's time is 60 hours ahead of the database's clock.
            push: Id in the inbox, if the rows are a push's.
        """
        self._pulls += 1
        declared = canonical.named(entity)
        columns = {name: type_name for name, type_name in declared.columns.items() if name != "business_date"}
        at = self.now() + timedelta(hours=60) if is_ahead else _NIGHT + timedelta(minutes=self._pulls)
        pulled, origin = (pulled, "") if push is None else ("pushed", f"-push{push}")
        self.pull = Pull(f"run-{self._pulls}", self.vendor.name, entity, day, f"pull-{self._pulls}{origin}", pulled, at)
        path = partition_path(self.vendor.name, entity, day, self.pull.pull_id)
        writer = PartWriter(self.staging.folder(path), arrow.schema(columns))
        filled = [dict.fromkeys(columns) | dict(row) for row in rows]
        writer.write(pa.Table.from_pylist(filled, schema=writer.schema))
        writer.flush()
        self.partition = self.staging.seal(self._manifest(writer, len(filled), is_past or pulled == "historical"))
        self.partition.write_faults(FAULTS.empty_table())
        entities.transform(self.vendor, self.partition)
        unread = [each if isinstance(each, DeadLetter) else dead_letter(entity, each, n) for n, each in enumerate(dead)]
        with self.engine.begin() as connection:
            dead_letters.insert(connection, self.pull, "stage", path, unread, own_day=True)

    def load(self, entity: str, rows: Iterable[Mapping[str, Any]], day: date = DAY, **options: Any) -> Counts:
        """Stage and load rows."""
        self.stage(entity, rows, day, **options)
        return self.publish()

    def publish(self) -> Counts:
        """Load the last staged partition."""
        counts = load(self.engine, self.vendor, {self.partition: self.pull})
        return counts[self.pull.table_name][self.pull.table_name]

    def now(self) -> datetime:
        """Read the database's clock."""
        [row] = self.rows("select clock_timestamp() as now")
        return row["now"]  # type: ignore[no-any-return]

    def rows(self, query: str, **values: Any) -> list[dict[str, Any]]:
        """Query the database; `:vendor` is this vendor."""
        with self.engine.connect() as connection:
            result = connection.execute(sa.text(query), values | {"vendor": self.vendor.name})
            return [dict(row) for row in result.mappings()]

    def _manifest(self, writer: PartWriter, rows: int, is_past: bool) -> Manifest:
        return Manifest(
            self.pull.vendor, self.pull.table_name, self.pull.business_date, self.pull.pull_id,
            "historical" if is_past else "pushed" if self.pull.pulled == "pushed" else "current", self.pull.extracted_at, "v1", "", None, rows, rows, 0, 0, None, (),
            tuple(writer.parts),
        )  # fmt: skip


def dead_letter(entity: str, key: str | None, number: int = 0, **about: str) -> DeadLetter:
    """Build the dead letter of a row of an entity's own table, with its readable key and the fields in `about`."""
    describes = {"entity": entity} | ({} if key is None else {"key": key}) | about
    return DeadLetter(key, ["unreadable"], "dead.jsonl", number, describes=(describes,))


def summarize(counts: Counts) -> dict[str, int]:
    """Return the counts of a load that are not 0, without money and time."""
    names = ("inserted", "updated", "unchanged", "superseded", "withdrawn", "dead")
    return {name: getattr(counts, name) for name in names if getattr(counts, name)}


def position(
    key: str, quantity: int | str = 1, account: str = "a1", money: str | None = None, **more: Any
) -> dict[str, Any]:
    """Build a position; its money defaults to its quantity."""
    units = Decimal(quantity)
    worth = Decimal(money) if money is not None else units
    return {
        "position_key": key, "account_key": account, "security_key": "s1", "quantity": units,
        "market_value_usd": worth, "is_cash": False,
    } | more  # fmt: skip


def read_positions(loader: Loader, at: datetime | None = None, day: date = DAY) -> Known:
    """Read positions of a day as known at a time, or now, with every field that the tests vary."""
    rows = loader.rows(
        "select position_key, quantity, source_key as account, market_value_usd from warehouse.position"
        " join warehouse.source_key on id = account_id where position.vendor = :vendor and business_date = :day"
        " and recorded_from <= coalesce(cast(:at as timestamptz), 'infinity')"
        " and (recorded_to is null or recorded_to > cast(:at as timestamptz))",
        day=day,
        at=at,
    )
    positions = {r["position_key"]: (r["quantity"], r["account"], str(r["market_value_usd"])) for r in rows}
    assert len(positions) == len(rows), "a key has two rows at once"
    return positions


def transaction(key: str, hours: int | None, trade_date: date, status: str, amount: str) -> dict[str, Any]:
    """Build a transaction that was edited some hours after `EDITED` (None if the time is unknown)."""
    return {
        "transaction_key": key, "account_key": "a1", "security_key": "s1", "trade_date": trade_date, "status": status,
        "amount_usd": Decimal(amount), "edited_at": None if hours is None else EDITED + timedelta(hours=hours),
    }  # fmt: skip


def read_transactions(loader: Loader, at: datetime | None = None) -> Known:
    """Read transactions as known at a time, or now: key -> hour of the edit, trade date, status and amount."""
    rows = loader.rows(
        "select transaction_key, edited_at, trade_date, status, amount_usd from warehouse.transaction"
        " where vendor = :vendor and recorded_from <= coalesce(cast(:at as timestamptz), 'infinity')"
        " and (recorded_to is null or recorded_to > cast(:at as timestamptz))",
        at=at,
    )
    transactions = {}
    for row in rows:
        hours = row["edited_at"] and int((row["edited_at"] - EDITED).total_seconds() // 3600)
        transactions[row["transaction_key"]] = (hours, row["trade_date"], row["status"], str(row["amount_usd"]))
    assert len(transactions) == len(rows), "a key has two rows at once"
    return transactions


def count_rows_read(node: Mapping[str, Any]) -> int:
    """Count the rows that a node of an executed plan and the nodes below it returned or rejected."""
    rows = node["Actual Rows"] + node.get("Rows Removed by Filter", 0) + node.get("Rows Removed by Join Filter", 0)
    return int(rows * node["Actual Loops"]) + sum(map(count_rows_read, node.get("Plans", ())))


def follow_effort(engine: sa.Engine, is_followed: Callable[[str], bool]) -> list[int]:
    """Explain each followed statement of an engine before it runs, and roll that back; return the list of the rows that each one reads."""
    read = list[int]()

    @sa.event.listens_for(engine, "before_cursor_execute")
    def explain(connection: sa.Connection, _: Any, statement: str, values: Any, *__: Any) -> None:
        if is_followed(statement):
            driver = find_driver(connection)
            with driver.transaction(force_rollback=True):
                [[[plan]]] = driver.execute(f"explain (analyze, format json) {statement}".encode(), values)
            read.append(count_rows_read(plan["Plan"]))

    return read


Make = Callable[[], Loader]
"""Creates the loader of another vendor."""
