"""The data quality of each table and business date: a matrix, the checks of one partition with their trends, and the checks of one run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

import sqlalchemy as sa

from include import business_dates

TREND_DAYS = 45
"""Number of calendar days that a trend covers."""
MOST_REASONS = 100
"""Maximum number of reasons of dead letters on the page of one partition."""
MOST_PULLS = 50
"""Maximum number of pulls that are listed on the page of one partition."""

# With the vendor as a condition of its own, PostgreSQL reads only this vendor's rows of the view.
_CELLS = """
select vendor, table_name, business_date, state, rows, rejected, open, loaded_at from control.quality_day
where business_date between :first and :last {of_vendor}
order by vendor = 'salesforce', vendor, table_name, business_date desc
"""
_ALL_CELLS = sa.text(_CELLS.format(of_vendor=""))
_VENDOR_CELLS = sa.text(_CELLS.format(of_vendor="and vendor = :vendor"))
_REJECTIONS = sa.text("""
select vendor, business_date, max(recorded_at) as rejected_at, (array_agg(reason order by recorded_at desc))[1] as reason
from control.rejection where business_date between :first and :last and (cast(:vendor as text) = '' or vendor = :vendor)
group by vendor, business_date
""")
_DAY = sa.text("""
select * from control.quality_day where vendor = :vendor and business_date = :day and table_name = :table
""")
_CHECKS = sa.text("""
select * from control.validation where vendor = :vendor and table_name = :table and business_date = :day and pull_id = :pull_id
order by is_passed, level, check_name
""")
_PULLS = sa.text("""
select pull_id, pulled, run_id, min(validated_at) as validated_at, count(*) as checks, count(*) filter (where not is_passed) as failed
from control.validation where vendor = :vendor and table_name = :table and business_date = :day
group by pull_id, pulled, run_id order by validated_at desc limit :most
""")
_REASONS = sa.text("""
select stage, reason, count(*) as rows, count(*) filter (where status = 'open') as open, sum(abs(money_usd)) as money_usd
from control.dead_letter, unnest(public_reasons) as reason
where vendor = :vendor and table_name = :table and business_date = :day
group by stage, reason order by 3 desc, 1, 2 limit :most
""")
# The newest result of each day; a replay checks a few rows only.
_TREND = sa.text("""
select distinct on (check_name, business_date) check_name, business_date, coalesce(failed_ratio, measure) as value
from control.validation
where vendor = :vendor and table_name = :table and business_date between :first and :day and pulled in ('current', 'historical')
order by check_name, business_date, validated_at desc
""")
_OF_RUN = sa.text("""
select * from control.validation where run_id = :run_id and (:vendor = '' or vendor = :vendor)
order by is_passed, vendor, business_date, table_name, level, check_name limit 5000
""")

_Rows = Sequence[sa.RowMapping]
_WORST = ("day stopped", "rows rejected", "accepted", "not loaded", "not validated", "resolved", "passed")
"""The states of `control.quality_day`, the worst first."""


@dataclass(frozen=True, slots=True)
class QualityRow:
    """The days of one table.

    Attributes:
        name: Name of the table; for Salesforce, of the object.
        cells: Business date -> row of `control.quality_day`; days without rows and dead letters are missing.
    """

    name: str
    cells: Mapping[date, sa.RowMapping]


@dataclass(frozen=True, slots=True)
class VendorQuality:
    """The tables of one vendor.

    Attributes:
        vendor: Name of the vendor, or `salesforce`.
        rows: Its tables.
        stopped: Business date -> reason, for each day that a check stopped and that no later run loaded.
    """

    vendor: str
    rows: tuple[QualityRow, ...]
    stopped: Mapping[date, str]

    def find_worst(self, day: date) -> DayQuality | None:
        """Return the worst state of the tables on a day, and their rejected rows; None if no table has one."""
        cells = [row.cells[day] for row in self.rows if day in row.cells]
        states = {cell["state"] for cell in cells} | ({"day stopped"} if day in self.stopped else set())
        worst = next((state for state in _WORST if state in states), None)
        return DayQuality(worst, len(cells), sum(cell["open"] for cell in cells)) if worst else None


@dataclass(frozen=True, slots=True)
class DayQuality:
    """The worst state of a vendor's tables on one day, the number of tables, and the number of their open dead letters."""

    state: str
    tables: int
    open: int


@dataclass(frozen=True, slots=True)
class Matrix:
    """The quality of tables over business dates. `dates` has the newest first."""

    dates: tuple[date, ...]
    vendors: tuple[VendorQuality, ...]


@dataclass(frozen=True, slots=True)
class PartitionQuality:
    """The quality of one table on one business date.

    Attributes:
        day: The row of `control.quality_day`; None if there is none.
        pull_id: The pull whose checks are shown; None if none was validated.
        checks: Its rows of `control.validation`, the failed ones first.
        trends: Name of a check -> share of failed rows (0-1), or measure, on each day with a result of
            any check, the oldest first; None for a day without a result of this one.
        reasons: The reasons of the day's dead letters of all pulls, with rows, open rows and money.
        pulls: The validated pulls of the day, the newest first.
    """

    day: sa.RowMapping | None
    pull_id: str | None
    checks: _Rows
    trends: Mapping[str, tuple[float | None, ...]]
    reasons: _Rows
    pulls: _Rows


def read_matrix(connection: sa.Connection, vendor: str, last: date, sessions: int) -> Matrix:
    """Return the quality of the tables of a vendor over a number of trading days.

    Args:
        connection: The database, as a role that may read `control`.
        vendor: Name of the vendor, or `salesforce`; empty for all.
        last: The last business date.
        sessions: Number of trading days, `last` included.
    """
    dates = business_dates.list_trading_days(last - timedelta(days=sessions * 7 // 5 + 10), last)[-sessions:]
    span = {"vendor": vendor, "first": dates[0], "last": last}
    cells = connection.execute(_VENDOR_CELLS if vendor else _ALL_CELLS, span).mappings().all()
    rejections = connection.execute(_REJECTIONS, span).mappings().all()
    shown = {*dates, *(row["business_date"] for row in (*cells, *rejections))}
    names = dict.fromkeys([row["vendor"] for row in cells] + [row["vendor"] for row in rejections])
    by_vendor: dict[str, list[sa.RowMapping]] = {name: [] for name in names}
    for cell in cells:
        by_vendor[cell["vendor"]].append(cell)
    vendors = (
        VendorQuality(name, tuple(_group(rows)), _find_stopped(name, rows, rejections))
        for name, rows in by_vendor.items()
    )
    return Matrix(tuple(sorted(shown, reverse=True)), tuple(vendors))


def _group(cells: Iterable[sa.RowMapping]) -> Iterable[QualityRow]:
    by_table: dict[str, dict[date, sa.RowMapping]] = {}
    for cell in cells:
        by_table.setdefault(cell["table_name"], {})[cell["business_date"]] = cell
    return (QualityRow(name, days) for name, days in by_table.items())


def _find_stopped(vendor: str, cells: _Rows, rejections: _Rows) -> dict[date, str]:
    """Return the days that were rejected and that no later run loaded, each with the reason."""
    loaded: dict[date, datetime] = {}
    for cell in cells:
        if at := cell["loaded_at"]:
            loaded[cell["business_date"]] = max(at, loaded.get(cell["business_date"], at))
    return {
        row["business_date"]: row["reason"]
        for row in rejections
        if row["vendor"] == vendor and not row["rejected_at"] < loaded.get(row["business_date"], row["rejected_at"])
    }


def read_partition(
    connection: sa.Connection, vendor: str, table: str, day: date, pull_id: str = ""
) -> PartitionQuality:
    """Return the quality of one table on one business date.

    Args:
        connection: The database, as a role that may read `control`.
        vendor: Name of the vendor, or `salesforce`.
        table: Name of the table, or of the Salesforce object.
        day: The business date.
        pull_id: The pull whose checks to show; empty for the newest full pull, or the newest validated one if there is none.
    """
    of = {"vendor": vendor, "table": table, "day": day, "most": MOST_PULLS}
    row = connection.execute(_DAY, of).mappings().first()
    pulls = connection.execute(_PULLS, of).mappings().all()
    shown = pull_id or (row and row["pull_id"]) or (pulls[0]["pull_id"] if pulls else None)
    trend = connection.execute(_TREND, of | {"first": day - timedelta(days=TREND_DAYS)}).mappings().all()
    return PartitionQuality(
        row,
        shown,
        connection.execute(_CHECKS, of | {"pull_id": shown}).mappings().all(),
        _collect_trends(trend),
        connection.execute(_REASONS, of | {"most": MOST_REASONS}).mappings().all(),
        pulls,
    )


def _collect_trends(rows: _Rows) -> dict[str, tuple[float | None, ...]]:
    dates = sorted({row["business_date"] for row in rows})
    values: dict[str, dict[date, float | None]] = {}
    for row in rows:
        values.setdefault(row["check_name"], {})[row["business_date"]] = row["value"]
    return {name: tuple(days.get(day) for day in dates) for name, days in values.items()}


def read_run_checks(connection: sa.Connection, run_id: str, vendor: str = "") -> _Rows:
    """Return the results of the validations of one run, the failed ones first; empty if it validated nothing.

    `vendor` is the vendor of the run's DAG, because the DAGs of several vendors have runs of the same id; empty for all vendors.
    """
    return connection.execute(_OF_RUN, {"run_id": run_id, "vendor": vendor}).mappings().all()
