"""Classes to declare a vendor: Vendor, Table, Column, EntityMap and their parts.

A declaration is data. It is checked when it is created, hashed into every partition's manifest, and read by extraction, staging,
validation and the DAGs. This module imports only the standard library, so that parsing a DAG stays cheap.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from include.contract.derived import Constant, Derived
from include.contract.limits import Budget, Limits, Throttling
from include.contract.login import Login
from include.contract.shape import FanOut, Nested, Probe, Pushed, Shape, Whole
from include.contract.webhook import Document, Webhook

INTEGER = "int64"
STRING = "string"
BOOLEAN = "bool"
DATE = "date"
TIMESTAMP = "timestamp"
PAIRS = "pairs"
BINARY = "binary"
MONEY = "decimal(20,2)"
QUANTITY = "decimal(28,8)"
PRICE = "decimal(28,8)"

Pull = Literal["full", "snapshot", "window"]

ADDED = ("@in", "@inbox_id", "@nth", "@received_at", "@requested_at")
"""Sources of columns that Tributary fills itself. Every other source `@<column>` is a column of the parent row."""


@dataclass(frozen=True, slots=True)
class Column:
    """One field of a vendor's table.

    Attributes:
        name: Staged column name, with unit and origin.
        source: The vendor's field name; or a field that Tributary adds, with a name that begins with `@` or `^` (see `FanOut`, `Nested`).
        type: Type name: one of the constants of this module, such as `MONEY`, or another `decimal(<precision>,<scale>)`.
        kind: `value` is staged as it is; `sensitive` as `<name>_hash` and `<name>_last4`, never in clear; `retained` like `sensitive`, and
            also sealed as `<name>_sealed`, if a firm's connection names it (`include.contract.overrides`); `ignored` is not staged.
        required: A row without a value becomes a dead letter.
        rounded: Whether decimals beyond the type's scale are rounded half to even. If false, they make the row a dead letter, except
            for noise of binary floating point, which is always rounded. See `include.extract.number`.
        has_form: For a sensitive tax id: whether `<name>_form` is staged: `ein` (12-3456789) or `ssn` (123-45-6789), from how the vendor
            writes it; null for any other notation. Partitions that were staged before it was declared lack the column, and have null.
        hashed: A text whose keyed hash is staged in place of the value: a key for which the firm's vendor sends an account number.
    """

    name: str
    source: str
    type: str
    kind: Literal["value", "sensitive", "retained", "ignored"] = "value"
    required: bool = False
    rounded: bool = False
    hashed: bool = False
    has_form: bool = False

    @property
    def is_sensitive(self) -> bool:
        """Whether the value is staged as its hash and its last four characters."""
        return self.kind in ("sensitive", "retained")

    @property
    def is_secret(self) -> bool:
        """Whether the value must not be stored in clear."""
        return self.hashed or self.is_sensitive


def column(name: str, source: str, type: str, *, required: bool = False, rounded: bool = False) -> Column:
    """Declare a field that is staged; the arguments are those of `Column`."""
    return Column(name, source, type, required=required, rounded=rounded)


def sensitive(name: str, source: str, *, has_form: bool = False) -> Column:
    """Declare a field that is staged only as keyed hash and last four characters, never in clear; for the arguments see `Column`."""
    return Column(name, source, STRING, kind="sensitive", has_form=has_form)


def ignored(sources: str, type: str = STRING) -> tuple[Column, ...]:
    """Declare known fields that are not staged; `sources` are the vendor's field names, separated by commas, all of one type."""
    return tuple(Column(name.strip(), name.strip(), type, kind="ignored") for name in sources.split(","))


@dataclass(frozen=True, slots=True)
class Table:
    """One table pulled from a vendor.

    Attributes:
        name: The vendor's own term; also the name of the suite, partition folder and mapped task.
        path: Path below the connection's base URL.
        key: Staged columns that identify a row. If users enter the values (names may repeat), the last column must have source `@nth`.
        columns: Every field that the vendor documents: staged, sensitive or ignored by name.
        pull: What a pull requests: `full` is the current state of all rows (descriptions); `snapshot` is the state of one business
            date; `window` is the rows edited since the last pull or, for a past date, the rows dated that day.
        params: Query parameters of every call.
        dated: For `snapshot`, and for `window` on a past date: parameter -> `strftime` pattern. A single parameter is the business
            date. Two are the first and last day of a range; the first is the day after the previous trading day, to include weekends.
        edited: For `window`: the parameters for the bounds of the edit time, (from, to).
        overlap_days: Number of days before the last pull at which a window starts, to allow for clock skew. Increase it if the
            vendor's bounds miss edits.
        weekly_days: The same for the first trading day of a week, if it is larger: rows that the vendor deleted within these days are
            withdrawn.
        version: Staged column that orders the versions of a row; None if there is none.
        edited_as: `strftime` pattern of the edit bounds; empty for ISO times with the vendor's offset.
        when_past: For a past date: parameters that are added to `params`; one of the same name replaces that parameter.
        shape: How the table is requested.
        rows: Field of the response that contains the rows; empty if the response is itself an array of rows, or one row.
        has_objects: Whether rows contain objects. Their fields are declared as `address.city`, and a list is staged as JSON text.
        skipped: Fields to leave out with everything in them: paths (`address.geo`), or names of fields of the objects in a list.
        omits_nulls: Whether the vendor omits null fields. Then an optional field may be missing from every row without schema drift.
        dates: Date format: `iso` (2026-11-20), or `us`, which also accepts 11/20/2026.
        page_rows: Rows requested per call.
        money: Staged column whose sum is the table's control total.
        references: Staged column -> parent table. Each value must be a key of the parent table on the same day.
        agrees: `(column, table, money column)`: for each value of `column`, such as an account, the sum of this table's money must equal
            the money column of the other table, within the vendor's `total_tolerance_usd`.
        as_of: For snapshots: the staged column with the date of a row; None if rows have none.
        selected: Parameter that requests single rows by their keys, separated by commas; empty if the vendor has none.
    """

    name: str
    path: str
    key: tuple[str, ...]
    columns: tuple[Column, ...]
    pull: Pull = "full"
    params: Mapping[str, str] = field(default_factory=dict)
    dated: Mapping[str, str] = field(default_factory=dict)
    edited: tuple[str, str] | None = None
    overlap_days: int = 2
    weekly_days: int = 35
    edited_as: str = ""
    version: str | None = None
    when_past: Mapping[str, str] = field(default_factory=dict)
    shape: Shape = Whole()  # noqa: RUF009
    rows: str = ""
    has_objects: bool = False
    skipped: tuple[str, ...] = ()
    omits_nulls: bool = False
    dates: Literal["iso", "us"] = "iso"
    page_rows: int = 5000
    money: str | None = None
    references: Mapping[str, str] = field(default_factory=dict)
    agrees: tuple[str, str, str] | None = None
    as_of: str | None = None
    selected: str = ""

    def __post_init__(self) -> None:
        staged = {c.name for c in self.columns if c.kind == "value"}
        for name in filter(None, (*self.key, self.money, self.version)):
            if name not in staged:
                raise ValueError(f"{self.name}: {name} is not a staged column")
        sources = [c.source for c in self.columns]
        if len(set(sources)) != len(sources):
            raise ValueError(f"{self.name}: two columns declare the same field")
        is_whole = isinstance(self.shape, Nested) or (isinstance(self.shape, FanOut) and not self.shape.pages)
        if "@nth" in sources and not is_whole:
            raise ValueError(f"{self.name}: @nth needs all rows in one response, so it can't be used with pages")
        if self.pull == "window" and self.edited is None:
            raise ValueError(f"{self.name}: pull='window' needs `edited`, the parameters of its bounds")

    @property
    def states_past(self) -> bool:
        """Whether the vendor can return this table as of a past date."""
        return self.pull != "full"

    @property
    def parent(self) -> str:
        """The parent table, which must be staged first in the same run; empty if there is none."""
        return self.shape.parent if isinstance(self.shape, (FanOut, Nested)) else ""

    @property
    def carried(self) -> tuple[str, ...]:
        """Staged columns of the parent that this table declares with source `@<column>`."""
        return tuple(c.source[1:] for c in self.columns if c.source.startswith("@") and c.source not in ADDED)

    def has_free_text(self, col: Column) -> bool:
        """Whether sensitive values of the same row are masked in a column: a masked key or reference would identify another row."""
        return col.kind == "value" and not col.hashed and col.name not in self.key and col.name not in self.references

    @property
    def hash(self) -> str:
        """Hash of this declaration (12 hex digits of SHA-256)."""
        return _digest(asdict(self) | {"shape": repr(self.shape)})

    @property
    def staged_hash(self) -> str:
        """Hash for the manifests of partitions: like `hash`, without fields that do not affect staged rows or that a firm may override."""
        columns = [asdict(col) | {"source": None} for col in self.columns]
        for column in columns:
            del column["has_form"]  # partitions that were staged before it existed stay valid
        declared = asdict(self) | {"shape": repr(self.shape), "path": None, "columns": columns}
        return _digest({name: value for name, value in declared.items() if name not in ("version", "weekly_days")})

    def named(self, name: str) -> Column:
        """Return the column whose staged name is `name`."""
        return next(c for c in self.columns if c.name == name)


@dataclass(frozen=True, slots=True)
class Beside:
    """Another table of the vendor that a map reads.

    Attributes:
        columns: The staged columns that the map needs.
        found_by: Column of the other table -> column of the map's own table with the same value. A dead row of the other table makes
            only the rows with the same values uncertain. Empty: a dead row makes all rows uncertain.
        is_optional: Whether the table may be missing from a run. Then the map reads the table's last loaded rows, or none.
    """

    columns: tuple[str, ...]
    found_by: Mapping[str, str] = field(default_factory=dict)
    is_optional: bool = False


@dataclass(frozen=True, slots=True)
class EntityMap:
    """Mapping of a vendor's table to one canonical entity.

    Attributes:
        entity: Name of the canonical entity.
        table: The vendor's table.
        columns: Canonical column -> staged column name, `derived(...)` or `constant(...)`.
        merged: Whether several staged rows may describe the same entity (a security in every position). One row is produced: the
            newest by the entity's version, or the first if the entity has no version. The others are counted as merged.
        summed: Canonical columns whose values are summed over the merged rows. The other columns are those of the first row.
        dropped: Rule name -> function. Rows for which it returns true are dropped, and counted under the rule's name.
        split: Function that replaces each staged row by any number of rows (one per element of a list, for example).
            Parameters: a table with the columns `takes`, then one table per entry of `beside`.
            Returns: a table with a column `row`, the index of the staged row from which the row was made. A column `is_whole` is
            optional: where it is true, dead rows in a table without `found_by` do not make the row uncertain.
        takes: Staged columns that `split` needs.
        also_moves: For transactions: key of a second position that a row changes, such as the account's cash.
        beside: Other tables of the vendor that `split` needs.
        is_partial: Whether another table describes the entity and this table only refers to it. Then new keys are added, and
            existing rows stay unchanged.
    """

    entity: str
    table: str
    columns: Mapping[str, str | Derived | Constant]
    merged: bool = False
    summed: tuple[str, ...] = ()
    dropped: Mapping[str, Derived] = field(default_factory=dict)
    split: Callable[..., Any] | None = None
    takes: tuple[str, ...] = ()
    also_moves: Derived | None = None
    beside: Mapping[str, Beside] = field(default_factory=dict)
    is_partial: bool = False


@dataclass(frozen=True, slots=True)
class Vendor:
    """A company that Tributary pulls data from.

    Attributes:
        name: Short name: DAG id, connection id, staging folder and source of every warehouse row.
        title: Display name.
        notes: Markdown shown on the DAG's page.
        login: Login method.
        headers: Header to send with every call -> key in the connection's extra that contains the header's value.
        error_field: Field that marks a JSON object as a failure despite HTTP 200; empty if there is none.
        tables: Tables to pull, parents before children.
        maps: Mappings of staged tables to canonical entities.
        closed: Request for the last day that the vendor has closed; None if the vendor offers none.
        sentinels: Prefixes of date texts that mean null.
        cron: Start of the daily run, in `timezone`.
        live: Cron schedule, in `timezone`, of the polls for edits between the daily runs; empty for no polls.
        timezone: Time zone of the schedules.
        zone: Time zone of times without an offset, in requests and responses.
        budget: Rate budget; the firm's connection may lower it.
        connections: Maximum number of parallel connections of one table's pull.
        limits: Limits on time and bytes of one response and on rows of one pull.
        api_version: The vendor's API version, recorded in every manifest.
        ranks: Precedence if several vendors know the same person or household: attribute -> rank; the smallest rank wins.
            Attributes: `email`, `phone`, `address`, `name`, `birth_date`, `representative`; the empty name stands for all others.
        due: Stage of the ledger -> time (`HH:MM` in `timezone`) by which it must be recorded, on the day on which the run starts.
        roll_tolerance_quantity: Units by which a position may differ from the previous position plus its transactions.
        total_tolerance_usd: Dollars by which an account may differ from the sum of its positions.
        correlation_header: Response header with the vendor's id of a call.
        webhook: The vendor's webhooks; None if it sends none.
        documents: Documents to download for a completed envelope.
        keyed: Table whose keys operators select and webhook deliveries contain; empty: every table without a parent.
        throttling: How the vendor reports rate limiting by error codes; None if it uses only HTTP 429.
        codes: The firm's codes: table -> staged column -> code -> the declared code that has its effect.
        bounds: The firm's bounds of the suite: table -> column or measure -> `min`, `max` or both.
    """

    name: str
    title: str
    notes: str
    login: Login
    tables: tuple[Table, ...]
    maps: tuple[EntityMap, ...]
    cron: str
    budget: Budget
    live: str = ""
    closed: Probe | None = None
    sentinels: tuple[str, ...] = ()
    timezone: str = "America/New_York"
    zone: str = "UTC"
    connections: int = 4
    limits: Limits = Limits()  # noqa: RUF009
    api_version: str = "v1"
    correlation_header: str = "X-Correlation-Id"
    headers: Mapping[str, str] = field(default_factory=dict)
    error_field: str = ""
    ranks: Mapping[str, int] = field(default_factory=lambda: {"": 100})
    due: Mapping[str, str] = field(default_factory=lambda: {"stage": "07:30", "load": "08:30"})
    roll_tolerance_quantity: str = "0.0001"
    total_tolerance_usd: str = "0.01"
    webhook: Webhook | None = None
    documents: tuple[Document, ...] = ()
    keyed: str = ""
    throttling: Throttling | None = None
    codes: Mapping[str, Mapping[str, Mapping[str, str]]] = field(default_factory=dict)
    bounds: Mapping[str, Mapping[str, Mapping[str, str]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        known: set[str] = set()
        for table in self.tables:
            if table.parent and table.parent not in known:
                raise ValueError(f"{self.name}: the parent {table.parent} of {table.name} must be declared before it")
            bucket = table.shape.bucket if isinstance(table.shape, FanOut) else ""
            if bucket and bucket not in self.budget.calls_per_hour:
                raise ValueError(
                    f"{self.name}: {table.name} uses the bucket {bucket}, which the budget does not declare"
                )
            known.add(table.name)

    def table(self, name: str) -> Table:
        """Return the table called `name`.

        Raises:
            KeyError: The vendor has no such table.
        """
        for table in self.tables:
            if table.name == name:
                return table
        raise KeyError(f"{self.name} has no table {name}")

    def maps_to(self, entity: str, table: str = "") -> tuple[EntityMap, ...]:
        """Return the maps that produce an entity: those of one table or, if `table` is empty, those of all tables."""
        return tuple(each for each in self.maps if each.entity == entity and table in ("", each.table))

    @property
    def requested_tables(self) -> tuple[Table, ...]:
        """The tables that are requested, without those that arrive only by webhook."""
        return tuple(table for table in self.tables if not isinstance(table.shape, Pushed))

    def is_keyed(self, table: Table) -> bool:
        """Return whether selected keys (from an operator or a delivery) are keys of this table."""
        return table.name == self.keyed if self.keyed else not table.parent

    @property
    def stages(self) -> tuple[tuple[str, ...], ...]:
        """Names of the requested tables, grouped into stages in request order; each table is in the stage after its parent's."""
        depths: dict[str, int] = {}
        for table in self.requested_tables:
            depths[table.name] = depths[table.parent] + 1 if table.parent else 0
        return tuple(
            tuple(name for name, depth in depths.items() if depth == stage) for stage in range(max(depths.values()) + 1)
        )


def _digest(declared: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(declared, sort_keys=True).encode()).hexdigest()[:12]
