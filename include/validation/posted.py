"""Measures of posted transactions, for faults that the roll-forward of positions can't find.

restated_ratio   share of transactions with a changed value, for the column with the highest share (account, security, date, type, quantity
                 or amount). It compares the transactions that are posted both in this pull and in the pull of the last loaded day. Null
                 if there are none; edit windows overlap, so most pulls have some
repeated_ratio   share of transactions that are equal to another one except for the key and the edit time
mispriced_ratio  share of transactions whose price contradicts quantity and amount: the larger of two shares. Of the transactions with a
                 price of about 1, as for cash: those whose quantity and amount are not about equal. Of the others: those whose price is
                 about quantity / amount, the reciprocal of the right price

The roll-forward compares units of positions. It treats a trade date before the last snapshot as a late entry. It notices a wrong amount
only if the amount changes cash. It can't run on the first day. All shares ignore a few rows (`matched.compute_eased_share`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from include.contract import EntityMap, Table, Vendor
from include.staging.partitions import Partition
from include.transform.entities import evaluate
from include.validation.matched import (
    Comparison,
    compute_eased_share,
    is_comparable,
    name_first,
    pick_keys,
    read_keys,
    read_rows,
)

POSTED = ("restated_ratio", "repeated_ratio", "mispriced_ratio")
_FACTS = ("account_key", "security_key", "trade_date", "type_code", "quantity", "amount_usd")
_CLOSE = 0.1
"""Two numbers are about equal if their natural logarithms differ by less than this (about 10%)."""


def measure_posted(vendor: Vendor, table: Table, partition: Partition, earlier: Sequence[Partition]) -> Comparison:
    """Return the measures `POSTED` of a validated partition of transactions; an empty result for a table of other entities.

    A measure is None if it can't be computed. `restated_ratio` needs a comparable earlier partition.

    Args:
        vendor: The declaration.
        table: The table to measure.
        partition: Its partition.
        earlier: Partitions of the same table of the last loaded days, newest first.
    """
    result = Comparison()
    for each in vendor.maps_to("transaction", table.name):
        result.measures = dict.fromkeys(POSTED)
        if last := next((other for other in earlier if is_comparable(table, other)), None):
            _compare_facts(result, each, table, partition, last)
        _compare_rows(result, each, table, partition)
    return result


def _compare_facts(
    result: Comparison, entity_map: EntityMap, table: Table, partition: Partition, last: Partition
) -> None:
    keys = pick_keys(*(read_keys(table, each) for each in (partition, last)))
    if not len(keys):
        return
    now, before = (read_rows(table, each, keys) for each in (partition, last))
    is_posted = pc.and_(_is_posted(entity_map, now), _is_posted(entity_map, before))
    now, before, keys = (each.filter(is_posted) for each in (now, before, keys))
    day = last.manifest.business_date
    for name in _FACTS:
        is_same = _equal(*(evaluate(entity_map.columns[name], rows) for rows in (now, before)))
        changed = keys.filter(pc.invert(is_same))
        detail = (
            f"{name}: {len(changed):,} of {len(keys):,} posted transactions differ from those of {day}:"
            f" {name_first(changed[:20].to_pylist(), len(changed))}"
        )
        result.keep_worst("restated_ratio", compute_eased_share(len(changed), len(keys)), detail)


def _is_posted(entity_map: EntityMap, rows: pa.Table) -> pa.Array:
    return pc.fill_null(pc.equal(evaluate(entity_map.columns["status"], rows), "posted"), False)


def _equal(one: pa.Array, other: pa.Array) -> pa.Array:
    is_none = pc.and_(pc.is_null(one), pc.is_null(other))
    return pc.or_(is_none, pc.fill_null(pc.equal(one, other), False))


def _compare_rows(result: Comparison, entity_map: EntityMap, table: Table, partition: Partition) -> None:
    sources = {k: v for k, v in entity_map.columns.items() if k not in ("transaction_key", "edited_at")}
    staged = {name for s in sources.values() for name in ((s,) if isinstance(s, str) else getattr(s, "columns", ()))}
    keys, hashes, priced = list[pa.Array](), list[npt.NDArray[np.uint64]](), _Priced()
    for part in partition.good_rows(sorted({*table.key, *staged})):
        part = part.filter(_is_posted(entity_map, part))
        values = {name: evaluate(source, part) for name, source in sources.items()}
        keys.append(part.column(table.key[0]).combine_chunks())
        hashes.append(_hash(list(values.values())))
        priced.add(keys[-1], values)
    _count_repeated(result, keys, np.concatenate([np.array([], np.uint64), *hashes]))
    for contradicting, of, words in (
        (priced.inverted, priced.of_securities, "the price is quantity over amount"),
        (priced.unequal, priced.of_cash, "the price is 1, and quantity and amount differ"),
    ):
        detail = f"in {len(contradicting):,} of {of:,} posted transactions {words}: {name_first(contradicting)}"
        result.keep_worst("mispriced_ratio", compute_eased_share(len(contradicting), of), detail)


def _count_repeated(result: Comparison, keys: list[pa.Array], hashes: npt.NDArray[np.uint64]) -> None:
    _, place, times = np.unique(hashes, return_inverse=True, return_counts=True)
    is_repeated = pa.array(times[place] > 1, pa.bool_())
    repeated = pa.chunked_array(keys, keys[0].type if keys else pa.string()).filter(is_repeated)
    result.measures["repeated_ratio"] = compute_eased_share(len(repeated), len(hashes))
    result.details["repeated_ratio"] = (
        f"{len(repeated):,} of {len(hashes):,} posted transactions equal another one but for the key:"
        f" {name_first(repeated[:20].to_pylist(), len(repeated))}"
    )


def _hash(columns: Sequence[pa.Array]) -> npt.NDArray[np.uint64]:
    """Return a hash of each row, so that memory does not grow with the length of the values."""
    texts = [values.cast(pa.string()) for values in columns]
    rows = pc.binary_join_element_wise(*texts, "|", null_handling="replace")
    hashes: npt.NDArray[np.uint64] = pd.util.hash_array(rows.to_numpy(zero_copy_only=False), categorize=False)
    return hashes


@dataclass
class _Priced:
    """Transactions with a price, counted over the parts of a partition.

    For securities, only an inverted price is detected, because the expected amount depends on the type of security (bonds, options).

    Attributes:
        of_securities: Number of transactions whose price is not about 1.
        inverted: Keys of those whose price is about quantity / amount.
        of_cash: Number of transactions whose price is about 1.
        unequal: Keys of those whose quantity and amount are not about equal.
    """

    of_securities: int = 0
    inverted: list[Any] = field(default_factory=list)
    of_cash: int = 0
    unequal: list[Any] = field(default_factory=list)

    def add(self, keys: pa.Array, values: Mapping[str, pa.Array]) -> None:
        names = ("quantity", "amount_usd", "price_usd")
        floats = (values[name].cast(pa.float64()).to_numpy(zero_copy_only=False) for name in names)
        with np.errstate(divide="ignore", invalid="ignore"):
            quantity, amount, price = (np.log(np.abs(each)) for each in floats)  # of 0: minus infinity; of nothing: NaN
            is_priced = np.isfinite(quantity) & np.isfinite(price)
            is_cash = is_priced & (np.abs(price) < _CLOSE) & ~np.isnan(amount)
            is_security = is_priced & (np.abs(price) >= _CLOSE) & np.isfinite(amount)
            is_unequal = is_cash & (np.abs(quantity - amount) > _CLOSE)
            is_inverted = is_security & (np.abs(quantity - amount - price) < _CLOSE)
        self.of_cash += int(is_cash.sum())
        self.of_securities += int(is_security.sum())
        self.unequal += keys.filter(pa.array(is_unequal)).to_pylist()
        self.inverted += keys.filter(pa.array(is_inverted)).to_pylist()
