"""The words in which a vendor is declared: Vendor, Table, Column.

A declaration is data. It is checked when it is made, hashed into every partition's manifest, and read by extraction, staging,
validation and the DAGs alike. Nothing here imports more than the standard library, so that parsing a DAG stays cheap.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from include.contract.limits import Limits
from include.contract.shape import FanOut, Inside, Pushed, Shape, Whole
from include.contract.webhook import Document, Webhook

INTEGER = "int64"
STRING = "string"
BOOLEAN = "bool"
DATE = "date"
TIMESTAMP = "timestamp"
PAIRS = "pairs"
MONEY = "decimal(20,2)"
QUANTITY = "decimal(28,8)"
PRICE = "decimal(28,8)"

Pull = Literal["full", "snapshot", "window"]

ADDED = ("@asked_at", "@in", "@inbox_id", "@nth", "@received_at")
"""Fields that rows get from us, and from no row of another table."""


@dataclass(frozen=True, slots=True)
class Column:
    """One field of a vendor's table.

    Attributes:
        name: Our name in staging; carries unit and origin.
        source: The vendor's own field name.
        type: One of the type words above.
        kind: `value` is staged; `sensitive` is staged as `<name>_hash` and `<name>_last4`, never in clear;
            `ignored` is known, and left behind on purpose.
        required: A row without it is a dead letter.
        rounded: Digits beyond the type's scale are rounded half even, and no dead letter; binary noise is rounded in every column.
    """

    name: str
    source: str
    type: str
    kind: Literal["value", "sensitive", "ignored"] = "value"
    required: bool = False
    rounded: bool = False


def column(name: str, source: str, type: str, *, required: bool = False, rounded: bool = False) -> Column:
    """Declares a field that is staged."""
    return Column(name, source, type, required=required, rounded=rounded)


def sensitive(name: str, source: str) -> Column:
    """Declares a field whose clear value is written nowhere: staged as keyed hash and last four characters."""
    return Column(name, source, STRING, kind="sensitive")


def ignored(source: str, type: str = STRING) -> Column:
    """Declares a field that is known and left behind."""
    return Column(source, source, type, kind="ignored")


@dataclass(frozen=True, slots=True)
class Table:
    """One thing pulled from a vendor.

    Attributes:
        name: The vendor's own word for it; also the name of its suite, partition folder and mapped task.
        path: Path below the connection's base URL.
        key: Staged columns that identify a row. Where people name rows, two may have one name: then the last one holds `@nth`.
        columns: Every field the vendor documents: staged, sensitive or ignored by name.
        pull: `full` asks for everything as it is now (descriptions); `snapshot` asks for the state of one business
            date; `window` asks for what was edited since the last pull, or, for a past date, what is dated that day.
        params: Query parameters sent with every call.
        dated: For `snapshot` and for past dates of `window`: parameters that name the day, and its `strftime` pattern. Where there
            are two, they are the first and the last day: from the day after the session before, to include weekends.
        edited: For `window`: the parameters that bound the time of edit, (from, to).
        overlap_days: Days that a window reaches back beyond the last pull, for late clocks; more where its bounds miss edits.
        version: Staged column by which the newer of two states of a row is known; None where there is none.
        edited_as: `strftime` pattern of those bounds; empty for ISO times with the vendor's offset.
        when_past: Parameters that replace or join `params` for a past date.
        shape: How it is asked for.
        rows: Field of an answer that holds the rows; empty where the answer is the array, or one row.
        is_nested: Whether rows hold objects: their fields are declared as `address.city`, and a list is staged as its JSON.
        skipped: Of nested rows: objects that are known, and left behind whole; by their own name in the objects of a list, too.
        omits_nulls: Whether the vendor leaves out fields that are null: then one that no row has is no drift.
        dates: How dates are written: `iso` (2026-11-20), or `us` (11/20/2026) too.
        page_rows: Rows asked for in one call.
        money: Staged column whose sum is the table's control total.
        parents: Staged column -> table of the same vendor-day that must hold its value as key.
        agrees: `(column, table, money column)`: this table's money, summed by that column, is what the other states for the same key.
        as_of: For snapshots: the staged column that states the day of a row; None where rows don't say.
        chosen: Parameter that names the keys of single rows, with commas between them; empty where there is none.
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
    edited_as: str = ""
    version: str | None = None
    when_past: Mapping[str, str] = field(default_factory=dict)
    shape: Shape = Whole()  # noqa: RUF009
    rows: str = ""
    is_nested: bool = False
    skipped: tuple[str, ...] = ()
    omits_nulls: bool = False
    dates: Literal["iso", "us"] = "iso"
    page_rows: int = 5000
    money: str | None = None
    parents: Mapping[str, str] = field(default_factory=dict)
    agrees: tuple[str, str, str] | None = None
    as_of: str | None = None
    chosen: str = ""

    def __post_init__(self) -> None:
        staged = {c.name for c in self.columns if c.kind == "value"}
        for name in filter(None, (*self.key, self.money, self.version)):
            if name not in staged:
                raise ValueError(f"{self.name}: {name} is not a staged column")
        sources = [c.source for c in self.columns]
        if len(set(sources)) != len(sources):
            raise ValueError(f"{self.name}: a field is declared twice")
        is_whole = isinstance(self.shape, Inside) or (isinstance(self.shape, FanOut) and not self.shape.pages)
        if "@nth" in sources and not is_whole:
            raise ValueError(f"{self.name}: rows of several pages can't be told apart by their place in an answer")
        if self.pull == "window" and self.edited is None:
            raise ValueError(f"{self.name}: a window needs the names of its edit bounds")

    @property
    def states_past(self) -> bool:
        """Whether the vendor can state this table as of a past date."""
        return self.pull != "full"

    @property
    def over(self) -> str:
        """The table that must be staged before it, in the same run; empty where there is none."""
        return self.shape.over if isinstance(self.shape, (FanOut, Inside)) else ""

    @property
    def carried(self) -> tuple[str, ...]:
        """Staged columns of that table that its own rows carry, as fields `@<column>`."""
        return tuple(c.source[1:] for c in self.columns if c.source.startswith("@") and c.source not in ADDED)

    @property
    def hash(self) -> str:
        """Identifies this declaration (12 hex digits of SHA-256)."""
        return _digest(asdict(self) | {"shape": repr(self.shape)})

    @property
    def staged_hash(self) -> str:
        """Identifies it in the manifests of its partitions: without the vendor's own words, which a firm may choose anew."""
        columns = [asdict(col) | {"source": None} for col in self.columns]
        declared = asdict(self) | {"shape": repr(self.shape), "path": None, "columns": columns}
        return _digest({name: value for name, value in declared.items() if name != "version"})

    def named(self, name: str) -> Column:
        """Returns the column with our name `name`."""
        return next(c for c in self.columns if c.name == name)


@dataclass(frozen=True, slots=True)
class Derived:
    """A canonical column made from staged ones.

    Attributes:
        function: Pure function of Arrow arrays, one for each of `columns`, giving one of the same length.
        columns: Staged columns, in the order of the function's parameters.
    """

    function: Callable[..., Any]
    columns: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Constant:
    """A canonical column that holds one value in every row."""

    value: str | bool


def derived(function: Callable[..., Any], *columns: str) -> Derived:
    """Declares a canonical column computed from staged columns by a pure function on Arrow arrays."""
    return Derived(function, columns)


def constant(value: str | bool) -> Constant:
    """Declares a canonical column that the vendor does not state and that is the same in every row."""
    return Constant(value)


@dataclass(frozen=True, slots=True)
class Beside:
    """What a map reads of another table of its vendor.

    Attributes:
        columns: The staged columns it needs.
        found_by: Its column -> the map's own column of the same value: which rows a dead row leaves uncertain; empty for all.
        is_optional: Whether a run may lack the table: then the rows that were loaded of it last are read, or none.
    """

    columns: tuple[str, ...]
    found_by: Mapping[str, str] = field(default_factory=dict)
    is_optional: bool = False


@dataclass(frozen=True, slots=True)
class EntityMap:
    """How rows of a vendor's table become rows of one canonical entity.

    Attributes:
        entity: Name of the canonical entity.
        table: The vendor's table.
        columns: Canonical column -> staged column name, `derived(...)` or `constant(...)`.
        merged: Several staged rows may describe the same entity (a security named by every position): they become
            one, the newest by the entity's version or else the first, and the rest are counted as merged.
        summed: Canonical columns that are added up where rows are merged.
        dropped: Named rules: rows for which the function is true produce nothing, and are counted under the name.
        split: Makes rows of other columns from staged rows (a list in a column, an edge between two tables). It gets a
            table of `takes`, and whole tables of the same run as named in `beside`; it gives a table with a column
            `row`, the place of each's staged row, and may give `is_whole`: certain whatever is dead in a table without `found_by`.
        takes: Staged columns that `split` needs.
        also_moves: Of transactions: key of another position that a row moves, such as the account's cash.
        beside: Other tables of the vendor that `split` needs.
        is_partial: Another table describes the entity, this one only names it: what is new is added, what is known stays.
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
class Probe:
    """The cheapest question whose answer says which day the vendor has closed.

    Attributes:
        path: Path below the base URL; answers an array, or the one row that says it for all.
        params: Its query parameters; ordered so that the first row holds the earliest date.
        top: Parameter that bounds how many rows are answered; empty where there is none.
        field: The vendor's field that holds the date.
        key: The vendor's field that says whose date it is.
        tolerated: How many may lag: a dormant account does not hold the firm up.
    """

    path: str
    params: Mapping[str, str]
    field: str
    key: str = "id"
    tolerated: int = 0
    top: str = "$top"


@dataclass(frozen=True, slots=True)
class Budget:
    """Calls a vendor allows, shared by every process of the firm.

    Attributes:
        calls_per_minute: The most calls in any minute.
        burst: Of them, those that may be made at once after a pause.
        reserved_ratio: Share (0-1) of the rate that batch runs leave to on-demand runs.
        calls_per_hour: Narrower buckets for some calls: name -> the most calls in any hour.
    """

    calls_per_minute: float
    burst: int = 8
    reserved_ratio: float = 0.2
    calls_per_hour: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Vendor:
    """A company we pull from.

    Attributes:
        name: Short name: DAG id, connection id, staging folder and source of every warehouse row.
        title: The name people know.
        notes: Markdown shown on the DAG's page.
        login: How a session is opened; a key of `include.extract.login.LOGINS`.
        headers: Header of every call -> the entry of the connection's extra that it holds.
        error_field: A field that makes a JSON object a failure although its status is 200; empty for none.
        tables: What is pulled, parents before children.
        maps: How staged tables become canonical entities.
        closed: Asks for the last day that the vendor has closed; None where it can't be asked.
        sentinels: Prefixes of date texts that mean null.
        cron: When the daily run starts, in `timezone`.
        live: When, in `timezone`, what was edited meanwhile is asked for between the daily runs; empty for never.
        timezone: Zone of the schedule.
        zone: Zone in which the vendor reads and writes times without offset.
        budget: Calls the vendor allows; the firm's connection may lower them.
        connections: Parallel connections of one table's pull.
        limits: Most time and bytes of one response, and most rows of one pull.
        api_version: The vendor's API version, kept in every manifest.
        ranks: Whose word counts first where several vendors know the same person or household: attribute (`email`, `phone`,
            `address`, `name`, `birth_date`, `representative`; empty for all others) -> rank, the smallest first.
        due: Stage of the ledger -> local time (`HH:MM`) by which it is due, on the day on which the run starts.
        roll_tolerance_quantity: Units by which a position may differ from the one before plus its transactions.
        total_tolerance_usd: Dollars by which an account may differ from the sum of its positions.
        correlation_header: Response header by which the vendor finds a call again.
        webhook: What its webhooks bring; None where it sends none.
        documents: What is fetched of a completed envelope.
        keyed: Table whose keys people choose, and deliveries name; empty: the one that a fan-out begins at.
        throttled: Pattern of the error codes that ask for fewer calls with a status of 400; empty where there are none.
    """

    name: str
    title: str
    notes: str
    login: str
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
    throttled: str = ""

    def __post_init__(self) -> None:
        known: set[str] = set()
        for table in self.tables:
            if table.over and table.over not in known:
                raise ValueError(f"{self.name}: {table.name} is over {table.over}, which is no table before it")
            bucket = table.shape.bucket if isinstance(table.shape, FanOut) else ""
            if bucket and bucket not in self.budget.calls_per_hour:
                raise ValueError(f"{self.name}: {table.name} takes from {bucket}, which is no bucket of the budget")
            known.add(table.name)

    def table(self, name: str) -> Table:
        """Returns the table called `name`."""
        for table in self.tables:
            if table.name == name:
                return table
        raise KeyError(f"{self.name} has no table {name}")

    @property
    def asked(self) -> tuple[Table, ...]:
        """Tables that it is asked for; others come by webhook alone."""
        return tuple(table for table in self.tables if not isinstance(table.shape, Pushed))

    def is_keyed(self, table: Table) -> bool:
        """Whether the keys of single rows that somebody chooses are this table's."""
        return table.name == self.keyed if self.keyed else not table.over

    @property
    def waves(self) -> tuple[tuple[str, ...], ...]:
        """Names of tables, in the order in which they can be asked for: a fan-out after the table that it is over."""
        depths: dict[str, int] = {}
        for table in self.asked:
            depths[table.name] = depths[table.over] + 1 if table.over else 0
        return tuple(
            tuple(name for name, depth in depths.items() if depth == wave) for wave in range(max(depths.values()) + 1)
        )


def _digest(declared: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(declared, sort_keys=True).encode()).hexdigest()[:12]
