"""Compare rows with the rows of the same keys on the last loaded days. The measures find a day that is complete and valid, but wrong.

missing_ratio   share of the last loaded day's keys that are missing; 1 if the table is empty now and was not empty then
blanked_ratio   share of rows that had a value in a column and now have none, for the column with the highest share. A high share means
                that the vendor renamed a field
changed_ratio   share of rows with a different value, for the column with the highest share among columns of texts, flags, integers or
                dates that hardly changed on the last loaded day. A high share means that the values come from another column, row
                or day
renamed_ratio   share of rows with a renamed code, for the text column with the highest share. A code is renamed if it disappeared, and
                all its rows (two or more) have the same new code. Only columns with three or more rows per code
swapped_ratio   share of rows in which two columns of numbers, or two of dates, have exchanged their earlier values, at least
                approximately, for the pair of columns with the highest share

All shares ignore a few rows (see `compute_eased_share`): in a table of five rows, two changes are not a fault. All measures are null if no day was
loaded before; `changed_ratio` is null also if only one day was. A table whose pull returns only a part of the vendor's rows, such as an
edit window, has no such measures, because it may be empty on a quiet day.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date
from operator import itemgetter

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from include.contract import FanOut, Pushed, Table, Vendor
from include.extract.columns import staged_schema
from include.sensitive import FORM
from include.staging.partitions import Partition
from include.staging.row_key import format_keys

_SAMPLE = 5_000
_STEADY = 0.1
_ROWS_A_CODE = 3
_DIFFERENT = 0.1
_A_DAY = 86_400.0
MATCHED = ("missing_ratio", "blanked_ratio", "changed_ratio", "renamed_ratio", "swapped_ratio")


@dataclass
class Comparison:
    """The measures of one table.

    Attributes:
        measures: Name of a measure -> value; None if it can't be computed.
        details: Name of a measure -> text for error messages, with the values, keys or rows.
    """

    measures: dict[str, float | None] = field(default_factory=dict)
    details: dict[str, str] = field(default_factory=dict)

    def record(self, measure: str, value: float | None, detail: str) -> None:
        """Record a measure and its detail."""
        self.measures[measure], self.details[measure] = value, detail

    def keep_worst(self, measure: str, share: float, detail: str) -> None:
        """Set a measure and its detail, unless it already has an equal or higher share."""
        if (self.measures[measure] or 0.0) < share or measure not in self.details:
            self.record(measure, share, detail)


def name_first(names: Sequence[object], count: int | None = None) -> str:
    """Join the first twenty names, and add the number of the remaining ones.

    Args:
        names: The names, or the first of them.
        count: Number of all names, if `names` has only the first of them; None if it has all.
    """
    more = (len(names) if count is None else count) - min(len(names), 20)
    return ", ".join(str(name) for name in names[:20]) + (f" and {more:,} more" if more > 0 else "")


def lists_all(vendor: Vendor, table: Table) -> bool:
    """Return whether a pull of this table returns all of the vendor's rows, and not only edited rows, webhooks or non-final events."""
    if table.pull == "window" or isinstance(table.shape, Pushed):
        return False
    if isinstance(table.shape, FanOut) and table.shape.final:
        return False
    return not table.parent or lists_all(vendor, vendor.table(table.parent))


def compute_eased_share(count: int, of: int) -> float:
    """Return (count - 1 - sqrt(of) / 2) / of, or 0 if that is negative: a share that ignores a few rows of a small table."""
    return max(0.0, count - 1 - math.sqrt(of) / 2) / of if of else 0.0


def match(vendor: Vendor, table: Table, partition: Partition, earlier: Sequence[Partition]) -> Comparison:
    """Compare a validated partition with those of the last loaded days, row by row; return no measures unless `lists_all` is true.

    Args:
        vendor: The declaration.
        table: The table to measure.
        partition: Its partition.
        earlier: Partitions of the same table of the last loaded days, newest first.
    """
    comparison = Comparison()
    if not lists_all(vendor, table):
        return comparison
    comparison.measures = dict.fromkeys(MATCHED)
    comparable = [each for each in earlier if is_comparable(table, each)][:2]
    if not comparable:
        return comparison
    last = comparable[0].manifest.business_date
    now, before = (read_keys(table, each) for each in (partition, comparable[0]))
    _compare_keys(comparison, now, before, last)
    both = pick_keys(now, before)
    if not both.num_chunks or not len(both):
        return comparison
    days = [read_rows(table, each, both) for each in (partition, *comparable)]
    for name in days[0].column_names:
        columns = [day.column(name).combine_chunks() for day in days]
        _compare_column(comparison, name, columns, last)
    _compare_pairs(comparison, days[0], days[1], last)
    return comparison


def is_comparable(table: Table, partition: Partition) -> bool:
    """Return whether an earlier partition was staged under the same declaration, so that its columns can be compared."""
    return partition.manifest.contract == table.staged_hash


def read_keys(table: Table, partition: Partition) -> pa.ChunkedArray:
    """Read the keys of a partition's good rows, as text."""
    chunks = [format_keys(part, table.key) for part in partition.good_rows(list(table.key))]
    return pa.chunked_array(chunks, pa.string())


def _compare_keys(comparison: Comparison, now: pa.ChunkedArray, before: pa.ChunkedArray, last: date) -> None:
    known = pc.unique(before)
    missing = known.filter(pc.invert(pc.is_in(known, value_set=pc.unique(now))))
    if len(now):
        comparison.measures["missing_ratio"] = compute_eased_share(len(missing), len(known))
        names = name_first(missing[:20].to_pylist(), len(missing))
        comparison.details["missing_ratio"] = f"{len(missing):,} of {len(known):,} keys of {last} are missing: {names}"
    else:
        comparison.measures["missing_ratio"] = 1.0 if len(before) else 0.0
        comparison.details["missing_ratio"] = f"the table is empty; it had {len(before):,} rows on {last}"


def pick_keys(now: pa.ChunkedArray, before: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return keys that exactly one row has on each of the two days; if there are many, an even sample of up to `_SAMPLE` of them."""
    both = _find_unique(before)
    both = both.filter(pc.is_in(both, value_set=_find_unique(now)))
    step = -(-len(both) // _SAMPLE) or 1
    return pa.chunked_array([both.take(pa.array(range(0, len(both), step), pa.int64()))])


def _find_unique(keys: pa.ChunkedArray) -> pa.Array:
    counted = pc.value_counts(keys.combine_chunks().drop_null())
    return counted.field("values").filter(pc.equal(counted.field("counts"), 1))


def read_rows(table: Table, partition: Partition, keys: pa.ChunkedArray) -> pa.Table:
    """Read the rows with these keys, in the order of the keys; a missing key has a row of nulls.

    The columns are those that come from the vendor and can be compared: not the key, the date of the data, nested or sealed values.
    """
    ours = {col.name for col in table.columns if col.source.startswith(("@", "^"))}
    skipped = {*table.key, *ours, table.as_of}
    skipped |= {
        f"{col.name}{FORM}" for col in table.columns if col.has_form
    }  # partitions that were staged earlier may lack it
    fields = [each for each in staged_schema(table) if each.name not in skipped and not _is_incomparable(each.type)]
    names = [each.name for each in fields]
    parts = []
    for part in partition.good_rows(sorted({*table.key, *names})):
        key = format_keys(part, table.key)
        picked = pc.is_in(key, value_set=keys)
        parts.append(part.append_column("@key", key).filter(picked).select(["@key", *names]))
    rows = pa.concat_tables(parts)
    return rows.take(pc.index_in(keys, value_set=rows.column("@key").combine_chunks())).select(names)


def _is_incomparable(type_: pa.DataType) -> bool:
    return bool(pa.types.is_nested(type_) or pa.types.is_binary(type_))


def _compare_column(comparison: Comparison, name: str, days: Sequence[pa.Array], last: date) -> None:
    now, before = days[:2]
    had, has = _is_filled(before), _is_filled(now)
    if filled := _count(had):
        lost = _count(pc.and_not(had, has))
        comparison.keep_worst(
            "blanked_ratio",
            compute_eased_share(lost, filled),
            f"{name}: {lost:,} of {filled:,} values of {last} are missing",
        )
    if pa.types.is_timestamp(now.type) or pa.types.is_decimal(now.type):
        return
    both = pc.and_(had, has)
    compared, changed = _count(both), _find_changed(now, before)
    if (
        len(days) > 2
        and compute_eased_share(_count(_find_changed(before, days[2])), _count(_is_filled(days[2]))) <= _STEADY
    ):
        number = _count(changed)
        detail = f"{name}: {number:,} of {compared:,} values differ from {last}"
        comparison.keep_worst("changed_ratio", compute_eased_share(number, compared), detail)
    if pa.types.is_string(now.type):
        pairs = list(_find_renamed(now, before))
        number = sum(count for _, _, count in pairs)
        words = name_first([f"{old!r} is {new!r}" for old, new, _ in pairs])
        comparison.keep_worst(
            "renamed_ratio",
            compute_eased_share(number, compared),
            f"{name}: in {number:,} of {compared:,} rows {words}",
        )


def _is_filled(values: pa.Array) -> pa.Array:
    filled = pc.is_valid(values)
    return pc.and_(filled, pc.fill_null(pc.not_equal(values, ""), False)) if pa.types.is_string(values.type) else filled


def _find_changed(now: pa.Array, before: pa.Array) -> pa.Array:
    both = pc.and_(_is_filled(now), _is_filled(before))
    return pc.and_(both, pc.fill_null(pc.not_equal(now, before), False))


def _count(flags: pa.Array) -> int:
    return int(pc.sum(flags).as_py() or 0)


def _find_renamed(now: pa.Array, before: pa.Array) -> Iterator[tuple[str, str, int]]:
    """Yield (old code, new code, number of rows) for each renamed code, as `renamed_ratio` defines it; both arrays have the same rows."""
    rows = pa.table({"old": before, "new": now})
    rows = rows.filter(pc.and_(_is_filled(before), _is_filled(now)))
    if rows.num_rows < _ROWS_A_CODE * pc.count_distinct(rows["old"]).as_py():
        return
    kinds = rows.group_by(["old", "new"]).aggregate([([], "count_all")]).to_pylist()
    kinds.sort(key=itemgetter("old"))
    olds, news = {each["old"] for each in kinds}, {each["new"] for each in kinds}
    for old, [each, *others] in ((old, list(group)) for old, group in itertools.groupby(kinds, itemgetter("old"))):
        if old not in news and not others and each["new"] not in olds and each["count_all"] > 1:
            yield old, each["new"], each["count_all"]


def _compare_pairs(comparison: Comparison, now: pa.Table, before: pa.Table, last: date) -> None:
    for is_of_family, ratio, least in ((_is_number, _DIFFERENT, 0.0), (pa.types.is_temporal, 0.0, _A_DAY)):
        names = [each.name for each in now.schema if is_of_family(each.type)]
        ours, theirs = ({name: _as_floats(day.column(name)) for name in names} for day in (now, before))
        for one, other in itertools.combinations(names, 2):
            swapped, compared = _count_swapped(ours[one], ours[other], theirs[one], theirs[other], ratio, least)
            if compared:
                detail = f"{one} and {other}: {swapped:,} of {compared:,} rows have about each other's values of {last}"
                comparison.keep_worst("swapped_ratio", compute_eased_share(swapped, compared), detail)


def _is_number(type_: pa.DataType) -> bool:
    return bool(pa.types.is_decimal(type_) or pa.types.is_integer(type_))


def _as_floats(values: pa.ChunkedArray) -> npt.NDArray[np.float64]:
    """Convert numbers to floats, and dates and times to seconds; null becomes NaN."""
    if pa.types.is_temporal(values.type):
        values = values.cast(pa.timestamp("s"), safe=False).cast(pa.int64())
    floats: npt.NDArray[np.float64] = values.cast(pa.float64()).to_numpy(zero_copy_only=False)
    return floats


def _count_swapped(
    one: npt.NDArray[np.float64],
    other: npt.NDArray[np.float64],
    one_before: npt.NDArray[np.float64],
    other_before: npt.NDArray[np.float64],
    ratio: float,
    least: float,
) -> tuple[int, int]:
    """Return the number of rows in which two columns swapped their values, and the number of rows compared.

    Two values are swapped if each is nearer to the other column's earlier value than to its own. Only rows whose two earlier values differ
    by more than `least`, and by more than `ratio` times the larger one, are compared.
    """
    with np.errstate(invalid="ignore"):
        gap = np.abs(one_before - other_before)
        is_apart = gap > np.maximum(least, ratio * np.maximum(np.abs(one_before), np.abs(other_before)))
        is_apart &= ~np.isnan(one) & ~np.isnan(other)
        swapped = (np.abs(one - other_before) < np.abs(one - one_before)) & (
            np.abs(other - one_before) < np.abs(other - other_before)
        )
    return int(np.sum(swapped & is_apart)), int(np.sum(is_apart))
