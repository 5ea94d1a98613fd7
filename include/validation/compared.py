"""Compare a day with the last loaded day. The measures find data that is consistent in itself and still wrong.

total_ratio             the table's money divided by the expected money: that of the last loaded day plus the external flows since. 1 if
                        the two differ by $10,000 or less
class_total_ratio_min   lowest ratio of an asset class: its money divided by its money on the last loaded day. 1 if the difference is no
                        larger than $10,000, or no larger than the turnover of all transactions since. Only classes with a fifth of the
                        money or more
class_total_ratio_max   highest ratio of an asset class
price_jump_ratio        share of securities whose price is less than 0.6 times or more than 1.67 times the last loaded price
unpriced_ratio          share of the securities with a last loaded price that now have no price, or 0
stale_price_ratio       among the securities whose price changed on the last loaded day, share whose price has not changed since; null
                        if there are fewer than ten such securities

The result includes the measures of `matched`. `price_jump_ratio` and `unpriced_ratio` ignore a few securities (see
`matched.compute_eased_share`): in a firm with five securities, one stock split is not a fault. All measures are null if no day was loaded before.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

import pyarrow as pa
import pyarrow.compute as pc

from include.contract import EntityMap, Table, Vendor
from include.staging.partitions import Partition
from include.transform.entities import evaluate
from include.validation.matched import MATCHED, Comparison, compute_eased_share, match, name_first
from include.validation.posted import POSTED

_NEGLIGIBLE_USD = Decimal(10_000)
_LARGE_CLASS = Decimal("0.2")
_JUMPS = (0.6, 1.67)
_FEWEST = 10
_EXTERNAL = ("contribution", "distribution", "transfer")
_OF_MONEY = ("total_ratio",)
_OF_POSITIONS = (
    "class_total_ratio_min",
    "class_total_ratio_max",
    "price_jump_ratio",
    "unpriced_ratio",
    "stale_price_ratio",
)
ACCEPTABLE = frozenset(
    {"rows_ratio", "dead_money_ratio", "accounts_off", *_OF_MONEY, *_OF_POSITIONS, *MATCHED, *POSTED}
)
"""Measures whose failure an operator may accept: the day is unusual, or accounts do not add up to the vendor's totals."""


@dataclass(frozen=True, slots=True)
class Money:
    """Money of one partition.

    Attributes:
        day: Business date.
        total: Sum of the money, dollars.
        classes: Asset class -> sum of its money; empty if the table has no asset classes.
        prices: Security -> price; 0 if it has none.
    """

    day: date
    total: Decimal
    classes: Mapping[str, Decimal]
    prices: Mapping[str, float]


def compare(
    vendor: Vendor, table: Table, partitions: Mapping[str, Partition], earlier: Sequence[Partition]
) -> Comparison:
    """Compare a validated partition with those of the last loaded days.

    Args:
        vendor: The declaration.
        table: The table to measure. A table without money, or that is pulled by window, has only the measures of `matched`.
        partitions: Table -> partition, for every table pulled for the day.
        earlier: Partitions of the same table of the last loaded days, newest first.
    """
    comparison = match(vendor, table, partitions[table.name], earlier)
    if table.money is None or table.pull == "window":
        return comparison
    position = _find_map(vendor, table, "position")
    comparison.measures |= dict.fromkeys((*_OF_MONEY, *(_OF_POSITIONS if position else ())))
    if not earlier:
        return comparison
    now, *before = (_read_money(vendor, table, each) for each in (partitions[table.name], *earlier[:2]))
    flows, turnover = _sum_flows(vendor, partitions, before[0].day, now.day)
    _compare_total(comparison, table, now, before[0], flows)
    if position:
        _compare_classes(comparison, now, before[0], turnover)
        _compare_prices(comparison, now, before)
    return comparison


def _find_map(vendor: Vendor, table: Table, entity: str) -> EntityMap | None:
    return next((each for each in vendor.maps_to(entity, table.name) if each.split is None), None)


def _read_money(vendor: Vendor, table: Table, partition: Partition) -> Money:
    position, security = _find_map(vendor, table, "position"), _find_map(vendor, table, "security")
    sources = {"money": str(table.money)}
    if position:
        sources |= {"security": position.columns["security_key"], "price": position.columns["price_usd"]}  # type: ignore[dict-item]
    if security and "asset_class" in security.columns:
        sources |= {"class": security.columns["asset_class"]}  # type: ignore[dict-item]
    columns = {name for s in sources.values() for name in ((s,) if isinstance(s, str) else s.columns)}
    total, classes, prices = Decimal(0), dict[str, Decimal](), dict[str, float]()
    for part in partition.good_rows(sorted(columns)):
        values = pa.table({name: evaluate(source, part) for name, source in sources.items()})
        values = values.set_column(0, "money", values["money"].cast(pa.decimal128(38, 2)))
        total += pc.sum(values["money"]).as_py() or Decimal(0)
        if "class" in sources:
            summed = values.group_by("class").aggregate([("money", "sum")])
            for name, money in zip(summed["class"].to_pylist(), summed["money_sum"].to_pylist(), strict=True):
                classes[name or ""] = classes.get(name or "", Decimal(0)) + (money or Decimal(0))
        if position:
            values = values.set_column(2, "price", values["price"].cast(pa.float64()))
            each = values.group_by("security").aggregate([("price", "max")])
            known = zip(each["security"].cast(pa.string()).to_pylist(), each["price_max"].to_pylist(), strict=True)
            prices |= {str(key): price or 0.0 for key, price in known}
    return Money(partition.manifest.business_date, total, classes, prices)


def _sum_flows(
    vendor: Vendor, partitions: Mapping[str, Partition], after: date, until: date
) -> tuple[Decimal, Decimal]:
    """Return the sum of external flows, and the turnover (sum of absolute amounts) of all posted transactions; 0 if none were pulled.

    Args:
        vendor: The declaration.
        partitions: Table -> partition, for every table pulled for the day.
        after: Only transactions traded after this day.
        until: Only transactions traded on this day or before.
    """
    flows = turnover = Decimal(0)
    for each in (m for m in vendor.maps_to("transaction") if m.table in partitions):
        names = ("amount_usd", "flow", "status", "trade_date")
        sources = {name: each.columns[name] for name in names}
        columns = {
            name for s in sources.values() for name in ((s,) if isinstance(s, str) else getattr(s, "columns", ()))
        }
        for part in partitions[each.table].good_rows(sorted(columns)):
            amount, flow, status, day = (evaluate(source, part) for source in sources.values())
            is_since = pc.and_(pc.greater(day, pa.scalar(after)), pc.less_equal(day, pa.scalar(until)))
            posted = amount.cast(pa.decimal128(38, 2)).filter(pc.and_(is_since, pc.equal(status, "posted")))
            flow = flow.filter(pc.and_(is_since, pc.equal(status, "posted")))
            external = posted.filter(pc.fill_null(pc.is_in(flow, value_set=pa.array(_EXTERNAL)), False))
            flows += pc.sum(external).as_py() or Decimal(0)
            turnover += pc.sum(pc.abs(posted)).as_py() or Decimal(0)
    return flows, turnover


def _compare_total(comparison: Comparison, table: Table, now: Money, before: Money, flows: Decimal) -> None:
    expected = before.total + flows
    comparison.measures["total_ratio"] = _ratio(now.total, expected, _NEGLIGIBLE_USD)
    comparison.details["total_ratio"] = (
        f"{table.money} ${now.total:,.2f}, expected about ${expected:,.2f} (${before.total:,.2f} on {before.day},"
        f" external flows since ${flows:,.2f})"
    )


def _compare_classes(comparison: Comparison, now: Money, before: Money, turnover: Decimal) -> None:
    names = now.classes.keys() | before.classes.keys()
    none = Decimal(0)
    ratios: dict[str, float] = {}
    for name in sorted(names):
        new, old = now.classes.get(name, none), before.classes.get(name, none)
        if old >= _LARGE_CLASS * before.total or new >= _LARGE_CLASS * now.total:
            ratio = _ratio(new, old, max(_NEGLIGIBLE_USD, turnover))
            if ratio is not None:
                ratios[name] = ratio
    for measure, pick in (("class_total_ratio_min", min), ("class_total_ratio_max", max)):
        if ratios:
            name = pick(ratios, key=ratios.__getitem__)
            comparison.measures[measure] = ratios[name]
            comparison.details[measure] = (
                f"asset class {name or 'unknown'} ${now.classes.get(name, none):,.2f},"
                f" ${before.classes.get(name, none):,.2f} on {before.day}"
            )


def _ratio(new: Decimal, old: Decimal, slack: Decimal) -> float | None:
    """Return new / old; None if `old` is not positive.

    The ratio is 1 if the two differ by `slack` or less, unless `new` is 0 and `old` is not.
    """
    if abs(new - old) <= slack and (new or not old):
        return 1.0
    return float(new / old) if old > 0 else None


def _compare_prices(comparison: Comparison, now: Money, before: Sequence[Money]) -> None:
    last = before[0]
    both = sorted(key for key in now.prices if last.prices.get(key))
    if not both:
        return
    moves = {key: now.prices[key] / last.prices[key] for key in both}
    unpriced = [key for key in both if not now.prices[key]]
    jumps = [key for key in both if now.prices[key] and not _JUMPS[0] <= moves[key] <= _JUMPS[1]]
    comparison.measures["unpriced_ratio"] = compute_eased_share(len(unpriced), len(both))
    comparison.details["unpriced_ratio"] = f"{len(unpriced):,} of {len(both):,} securities: {name_first(unpriced)}"
    comparison.measures["price_jump_ratio"] = compute_eased_share(len(jumps), len(both))
    examples = name_first([f"{key} x{moves[key]:.4g}" for key in jumps])
    comparison.details["price_jump_ratio"] = f"{len(jumps):,} of {len(both):,} securities since {last.day}: {examples}"
    if len(before) > 1:
        moving = [key for key in both if before[1].prices.get(key) not in (None, last.prices[key])]
        stale = [key for key in moving if now.prices[key] == last.prices[key]]
        if len(moving) >= _FEWEST:
            comparison.measures["stale_price_ratio"] = len(stale) / len(moving)
            comparison.details["stale_price_ratio"] = (
                f"{len(stale):,} of {len(moving):,} prices are those of {last.day}"
            )
