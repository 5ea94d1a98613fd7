"""Build the result of a rule: findings as an Arrow table. The text contains no names of persons and no account numbers."""

from __future__ import annotations

from decimal import Decimal
from typing import TypeAlias

import pyarrow as pa
import pyarrow.compute as pc

from include.rules.household_view import HouseholdView
from include.rules.snapshot import Snapshot, to_decimal

MEASURE = pa.decimal128(28, 4)
FINDINGS = pa.schema(
    {
        "subject_entity": pa.string(),
        "subject_id": pa.int64(),
        "household_id": pa.int64(),
        "representative_id": pa.int64(),
        "measure": MEASURE,
        "details": pa.string(),
    }
)
"""Columns of a finding. `subject_entity` is `account`, `household`, `person` or `deal`; `household_id` may be null for a deal.

The rule's docstring states the unit of `measure`.
"""

Words: TypeAlias = str | pa.Array | pa.ChunkedArray

_PERCENT = pa.decimal128(22, 1)


def about_accounts(rows: pa.Table, measure: pa.ChunkedArray, *details: Words) -> pa.Table:
    """Return one finding per account in `rows`. The table has the columns account_id, household_id and representative_id.

    Args:
        rows: The accounts.
        measure: The measure of each finding.
        details: Parts of the finding's text: texts, or arrays with a value per row. They are joined.
    """
    return _findings("account", rows["account_id"], rows["household_id"], rows["representative_id"], measure, details)


def about_households(
    data: Snapshot | HouseholdView, rows: pa.Table, measure: pa.ChunkedArray, *details: Words
) -> pa.Table:
    """Return one finding per household in `rows`. The table has the column household_id; the representative is read from `data`.

    `measure` and `details` are as for `about_accounts`.
    """
    place = pc.index_in(rows["household_id"], data.households["household_id"].combine_chunks())
    representatives = data.households["representative_id"].take(place)
    ids = rows["household_id"]
    return _findings("household", ids, ids, representatives, measure, details)


def about_persons(view: HouseholdView, rows: pa.Table, measure: pa.ChunkedArray, *details: Words) -> pa.Table:
    """Return one finding per person in `rows`. The table has the column person_id; household and representative are read from `view`.

    `measure` and `details` are as for `about_accounts`.
    """
    place = pc.index_in(rows["person_id"], view.persons["person_id"].combine_chunks())
    homes = view.persons.select(["household_id", "representative_id"]).take(place)
    return _findings("person", rows["person_id"], homes["household_id"], homes["representative_id"], measure, details)


def about_deals(rows: pa.Table, measure: pa.ChunkedArray, *details: Words) -> pa.Table:
    """Return one finding per deal in `rows`. The table has the columns deal_id, household_id and representative_id.

    `measure` and `details` are as for `about_accounts`.
    """
    return _findings("deal", rows["deal_id"], rows["household_id"], rows["representative_id"], measure, details)


def worst_of(rows: pa.Table, subject: str, order: list[tuple[str, str]]) -> pa.Table:
    """Return the first row of each subject after sorting, with a column `count`: the number of the subject's rows.

    Args:
        rows: The rows.
        subject: Column with the id of the subject.
        order: Columns to sort by, each with `ascending` or `descending`.
    """
    ordered = rows.sort_by(order)
    ordered = ordered.append_column("place", pa.array(range(ordered.num_rows), pa.int64()))
    first = ordered.group_by(subject).aggregate([("place", "min"), ("place", "count")])
    return ordered.take(first["place_min"]).append_column("count", first["place_count"])


def dollars(values: pa.ChunkedArray) -> pa.ChunkedArray:
    """Format money, such as `-$1,234.50`."""
    backwards = pc.utf8_reverse(pc.abs(values).cast(pa.string()))
    grouped = pc.utf8_ltrim(pc.utf8_reverse(pc.replace_substring_regex(backwards, r"(\d{3})", r"\1,")), ",")
    sign = pc.if_else(pc.less(values, pa.scalar(0, pa.decimal128(1, 0))), "-$", "$")
    return pc.binary_join_element_wise(sign, grouped, "")


def percent_of(part: pa.ChunkedArray, whole: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return `part` as a percentage of `whole`, with one decimal. Both are `decimal(18,2)`; `whole` must not contain 0."""
    hundred = pa.scalar(100, pa.decimal128(3, 0))
    ratio = to_decimal(pc.divide(part, whole), pa.decimal128(28, 10))
    return to_decimal(pc.multiply(ratio, hundred), _PERCENT)


def percent(values: pa.ChunkedArray) -> pa.ChunkedArray:
    """Format a percentage, such as `12.5%`."""
    return pc.binary_join_element_wise(values.cast(pa.string()), "%", "")


def is_share(part: pa.ChunkedArray, whole: pa.ChunkedArray, least_percent: Decimal) -> pa.ChunkedArray:
    """Return whether `part` is at least `least_percent` of `whole`; the comparison is exact, because it does not divide."""
    hundred = pa.scalar(100, pa.decimal128(3, 0))
    return pc.greater_equal(
        pc.multiply(part, hundred), pc.multiply(whole, pa.scalar(least_percent, pa.decimal128(7, 4)))
    )


def usd(threshold: Decimal) -> pa.Scalar:
    """Return a threshold in dollars as an Arrow scalar, for comparisons."""
    return pa.scalar(threshold, pa.decimal128(17, 4))


def _findings(
    entity: str,
    subjects: pa.ChunkedArray,
    households: pa.ChunkedArray,
    representatives: pa.ChunkedArray,
    measure: pa.ChunkedArray,
    details: tuple[Words, ...],
) -> pa.Table:
    count = len(subjects)
    if not count:
        return FINDINGS.empty_table()
    words = [word if isinstance(word, str) else word.cast(pa.string()) for word in details]
    text = pc.binary_join_element_wise(*words, "", null_handling="replace", null_replacement="unknown")
    entities = pa.repeat(pa.scalar(entity), count)
    return pa.table([entities, subjects, households, representatives, measure.cast(MEASURE), text], schema=FINDINGS)
