"""A day's rows beside the rows of the same keys on the last loaded days: measures that stop a day that is full, typed, and wrong.

missing_ratio   share of the last loaded day's keys that are not there; 1 where the table is empty and was not
blanked_ratio   share of rows that had a value and have none, of the column that lost most: a field that was renamed
changed_ratio   share of rows with another text, flag, number or date, of the column that changed most, among those that stood still
                the day before: values of another column, another row or another day
renamed_ratio   share of rows whose code, held by several rows, is gone and is one and the same new code in all of them, of the column
                with most; a column of codes has three rows a code or more
swapped_ratio   share of rows in which two columns of numbers, or of dates, hold about what the other one held, of the pair with most

Shares leave out a few rows (see `eased_share`): in a firm of five, two changes are no fault. All are null where no day was
loaded before; `changed_ratio` where there is only one such day. Tables of which a pull brings a part, such as an edit window
or what has not ended, have no such measures: they may be empty on a quiet day.
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
from include.staging.partitions import Staging
from include.staging.rows import good_rows, name_first

_SAMPLE = 5_000
_STEADY = 0.1
_ROWS_A_CODE = 3
_DIFFERENT = 0.1
_A_DAY = 86_400.0
MATCHED = ("missing_ratio", "blanked_ratio", "changed_ratio", "renamed_ratio", "swapped_ratio")


@dataclass
class Comparison:
    """Measures, and what is behind each in words."""

    measures: dict[str, float | None] = field(default_factory=dict)
    details: dict[str, str] = field(default_factory=dict)

    def keep_worst(self, measure: str, share: float, detail: str) -> None:
        """Take a measure over unless a worse one is known."""
        if (self.measures[measure] or 0.0) < share or measure not in self.details:
            self.measures[measure], self.details[measure] = share, detail


def lists_all(vendor: Vendor, table: Table) -> bool:
    """Whether a pull of this table brings everything that the vendor has of it, and not what was edited or has not ended."""
    if table.pull == "window" or isinstance(table.shape, Pushed):
        return False
    if isinstance(table.shape, FanOut) and table.shape.final:
        return False
    return not table.over or lists_all(vendor, vendor.table(table.over))


def eased_share(count: int, of: int) -> float:
    """Share of `count`, less one and half the square root of all: a small firm's few changes are no fault."""
    return max(0.0, count - 1 - math.sqrt(of) / 2) / of if of else 0.0


def match(vendor: Vendor, table: Table, path: str, staging: Staging, earlier: Sequence[str]) -> Comparison:
    """Compare a validated partition with those of the last loaded days, row by row.

    Args:
        vendor: The declaration.
        table: The table to measure.
        path: Its partition.
        staging: Where partitions are.
        earlier: Partitions of the same table of the last loaded days, the newest first.
    """
    found = Comparison()
    if not lists_all(vendor, table):
        return found
    found.measures = dict.fromkeys(MATCHED)
    kept = [each for each in earlier if is_comparable(table, each, staging)][:2]
    if not kept:
        return found
    last = staging.manifest(kept[0]).business_date
    now, before = (read_keys(table, each, staging) for each in (path, kept[0]))
    _compare_keys(found, now, before, last)
    both = pick_keys(now, before)
    if not both.num_chunks or not len(both):
        return found
    days = [read_rows(table, each, staging, both) for each in (path, *kept)]
    for name in days[0].column_names:
        columns = [day.column(name).combine_chunks() for day in days]
        _compare_column(found, name, columns, last)
    _compare_pairs(found, days[0], days[1], last)
    return found


def is_comparable(table: Table, path: str, staging: Staging) -> bool:
    """Return whether an earlier partition is still there, validated, and of the same declaration."""
    return staging.folder(path).has("faults.parquet") and staging.manifest(path).contract == table.staged_hash


def _join(rows: pa.Table, key: Sequence[str]) -> pa.ChunkedArray:
    texts = [rows.column(name).cast(pa.string()) for name in key]
    if len(texts) == 1:
        return texts[0]
    return pc.binary_join_element_wise(*texts, "|", null_handling="replace")


def read_keys(table: Table, path: str, staging: Staging) -> pa.ChunkedArray:
    """Read the keys of a partition's good rows, as texts."""
    chunks = [_join(part, table.key).combine_chunks() for part in good_rows(staging, path, list(table.key))]
    return pa.chunked_array(chunks, pa.string())


def _compare_keys(found: Comparison, now: pa.ChunkedArray, before: pa.ChunkedArray, last: date) -> None:
    known = pc.unique(before)
    missing = known.filter(pc.invert(pc.is_in(known, value_set=pc.unique(now))))
    if len(now):
        found.measures["missing_ratio"] = eased_share(len(missing), len(known))
        names = name_first(missing[:20].to_pylist(), len(missing))
        found.details["missing_ratio"] = f"{len(missing):,} of {len(known):,} keys of {last} are missing: {names}"
    else:
        found.measures["missing_ratio"] = 1.0 if len(before) else 0.0
        found.details["missing_ratio"] = f"the table is empty; it had {len(before):,} rows on {last}"


def pick_keys(now: pa.ChunkedArray, before: pa.ChunkedArray) -> pa.ChunkedArray:
    """Keys of both days that one row has, evenly spread over all of them, `_SAMPLE` at most."""
    both = _once(before)
    both = both.filter(pc.is_in(both, value_set=_once(now)))
    step = -(-len(both) // _SAMPLE) or 1
    return pa.chunked_array([both.take(pa.array(range(0, len(both), step), pa.int64()))])


def _once(keys: pa.ChunkedArray) -> pa.Array:
    counted = pc.value_counts(keys.combine_chunks().drop_null())
    return counted.field("values").filter(pc.equal(counted.field("counts"), 1))


def read_rows(table: Table, path: str, staging: Staging, keys: pa.ChunkedArray) -> pa.Table:
    """The columns to compare of the rows with these keys, in their order; nulls where a day does not have the key."""
    ours = {col.name for col in table.columns if col.source.startswith(("@", "^"))}
    skipped = {*table.key, *ours, table.as_of}
    fields = [each for each in staged_schema(table) if each.name not in skipped and not pa.types.is_nested(each.type)]
    names = [each.name for each in fields]
    parts = []
    for part in good_rows(staging, path, sorted({*table.key, *names})):
        key = _join(part, table.key)
        picked = pc.is_in(key, value_set=keys)
        parts.append(part.append_column("@key", key).filter(picked).select(["@key", *names]))
    rows = pa.concat_tables(parts)
    return rows.take(pc.index_in(keys, value_set=rows.column("@key").combine_chunks())).select(names)


def _compare_column(found: Comparison, name: str, days: Sequence[pa.Array], last: date) -> None:
    now, before = days[:2]
    had, has = _is_filled(before), _is_filled(now)
    if held := _count(had):
        lost = _count(pc.and_not(had, has))
        found.keep_worst(
            "blanked_ratio", eased_share(lost, held), f"{name}: {lost:,} of {held:,} values of {last} are gone"
        )
    if pa.types.is_timestamp(now.type) or pa.types.is_decimal(now.type):
        return
    both = pc.and_(had, has)
    compared, changed = _count(both), _changed(now, before)
    if len(days) > 2 and eased_share(_count(_changed(before, days[2])), _count(_is_filled(days[2]))) <= _STEADY:
        number = _count(changed)
        detail = f"{name}: {number:,} of {compared:,} values are not those of {last}"
        found.keep_worst("changed_ratio", eased_share(number, compared), detail)
    if pa.types.is_string(now.type):
        pairs = list(_find_renamed(now, before))
        number = sum(count for _, _, count in pairs)
        words = name_first([f"{old!r} is {new!r}" for old, new, _ in pairs])
        found.keep_worst(
            "renamed_ratio", eased_share(number, compared), f"{name}: in {number:,} of {compared:,} rows {words}"
        )


def _is_filled(values: pa.Array) -> pa.Array:
    filled = pc.is_valid(values)
    return pc.and_(filled, pc.fill_null(pc.not_equal(values, ""), False)) if pa.types.is_string(values.type) else filled


def _changed(now: pa.Array, before: pa.Array) -> pa.Array:
    both = pc.and_(_is_filled(now), _is_filled(before))
    return pc.and_(both, pc.fill_null(pc.not_equal(now, before), False))


def _count(flags: pa.Array) -> int:
    return int(pc.sum(flags).as_py() or 0)


def _find_renamed(now: pa.Array, before: pa.Array) -> Iterator[tuple[str, str, int]]:
    """Codes that several rows had and no row has, where all of them have one and the same code that no row had."""
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


def _compare_pairs(found: Comparison, now: pa.Table, before: pa.Table, last: date) -> None:
    for is_of_family, ratio, least in ((_is_number, _DIFFERENT, 0.0), (pa.types.is_temporal, 0.0, _A_DAY)):
        names = [each.name for each in now.schema if is_of_family(each.type)]
        ours, theirs = ({name: _as_floats(day.column(name)) for name in names} for day in (now, before))
        for one, other in itertools.combinations(names, 2):
            swapped, compared = _count_swapped(ours[one], ours[other], theirs[one], theirs[other], ratio, least)
            if compared:
                detail = f"{one} and {other}: {swapped:,} of {compared:,} rows hold about what the other held on {last}"
                found.keep_worst("swapped_ratio", eased_share(swapped, compared), detail)


def _is_number(type_: pa.DataType) -> bool:
    return bool(pa.types.is_decimal(type_) or pa.types.is_integer(type_))


def _as_floats(values: pa.ChunkedArray) -> npt.NDArray[np.float64]:
    """Numbers, or seconds."""
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
    """Rows in which each is nearer to what the other was, of those in which the two differed by `least`, and by `ratio`."""
    with np.errstate(invalid="ignore"):
        gap = np.abs(one_before - other_before)
        is_apart = gap > np.maximum(least, ratio * np.maximum(np.abs(one_before), np.abs(other_before)))
        is_apart &= ~np.isnan(one) & ~np.isnan(other)
        swapped = (np.abs(one - other_before) < np.abs(one - one_before)) & (
            np.abs(other - one_before) < np.abs(other - other_before)
        )
    return int(np.sum(swapped & is_apart)), int(np.sum(is_apart))
