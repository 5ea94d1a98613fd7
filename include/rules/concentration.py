"""Too much of one security, in a household and in an account."""

from __future__ import annotations

from decimal import Decimal

import pyarrow as pa
import pyarrow.compute as pc

from include.rules.book import USD, Book, total
from include.rules.finding import Words, about_accounts, about_households, dollars, is_share, percent, percent_of, usd
from include.rules.policy import Policy


def find_household_concentration(book: Book, policy: Policy) -> pa.Table:
    """A household has too much in one security.

    What: one security over all of its accounts, by its shares, against all that it holds. Cash, and what spreads the
        risk itself (`concentration_exempt_types`), is not judged, but belongs to the whole. The largest one is named.
    Why: one company's bad day becomes the family's; a fiduciary has to have talked about it.
    Threshold: `household_concentration_percent` and `household_concentration_floor_usd`, both. Measure: percent.
    Closes: none is above.
    """
    pairs = _judged(book, policy).join(book.shares, "account_id", join_type="inner")
    pairs = pairs.append_column("part_usd", pc.multiply(pairs["market_value_usd"], pairs["share_ratio"]))
    held = total(pairs, ["household_id", "security_id"], {"part_usd": USD})
    whole = book.owned(book.held, "held_usd")
    floor, least = policy.household_concentration_floor_usd, policy.household_concentration_percent
    worst = _largest(book, held, whole, "household_id", floor, least)
    return about_households(book, worst, worst["share"], *_told(worst, "household"))


def find_account_concentration(book: Book, policy: Policy) -> pa.Table:
    """An account has too much in one security.

    What: as in a household, but within one account.
    Why: an account has a mandate of its own, whatever else the family holds.
    Threshold: `account_concentration_percent` and `account_concentration_floor_usd`, both. Measure: percent.
    Closes: none is above.
    """
    judged = _judged(book, policy).rename_columns({"market_value_usd": "part_usd"})
    held = total(judged, ["account_id", "security_id"], {"part_usd": USD})
    floor, least = policy.account_concentration_floor_usd, policy.account_concentration_percent
    worst = _largest(book, held, book.held, "account_id", floor, least)
    ids = book.accounts.select(["account_id", "household_id", "representative_id"])
    worst = worst.join(ids, "account_id", join_type="inner")
    return about_accounts(worst, worst["share"], *_told(worst, "account"))


def _judged(book: Book, policy: Policy) -> pa.Table:
    """Positions whose security may be too much: account_id, security_id, market_value_usd."""
    exempt = pa.array(sorted(policy.concentration_exempt_types), pa.string())
    securities = book.securities
    spreads = pc.or_(
        pc.is_in(securities["category"], value_set=exempt), pc.is_in(securities["security_type"], value_set=exempt)
    )
    is_judged = pc.invert(pc.is_in(book.positions["security_id"], value_set=securities["security_id"].filter(spreads)))
    if not policy.concentration_includes_cash:
        is_judged = pc.and_(is_judged, pc.invert(book.positions["is_cash"]))
    return book.positions.drop_columns("is_cash").filter(is_judged)


def _largest(book: Book, held: pa.Table, whole: pa.Table, by: str, floor: Decimal, least: Decimal) -> pa.Table:
    """Subjects with a security beyond both limits: how many such securities, and the largest one's title and share."""
    held = held.filter(pc.greater_equal(held["part_usd"], usd(floor)))
    both = held.join(whole, by, join_type="inner")
    both = both.filter(pc.greater(both["held_usd"], usd(Decimal(0))))
    beyond = both.filter(is_share(both["part_usd"], both["held_usd"], least))
    ordered = beyond.sort_by([("part_usd", "descending"), ("security_id", "ascending")])
    ordered = ordered.append_column("place", pa.array(range(ordered.num_rows), pa.int64()))
    first = ordered.group_by(by).aggregate([("place", "min"), ("place", "count")])
    worst = ordered.take(first["place_min"]).append_column("count", first["place_count"])
    worst = worst.join(book.securities.select(["security_id", "title"]), "security_id")
    return worst.append_column("share", percent_of(worst["part_usd"], worst["held_usd"]))


def _told(worst: pa.Table, holder: str) -> tuple[Words, ...]:
    more = pc.subtract(worst["count"], 1).cast(pa.string())
    others = pc.binary_join_element_wise(" Others beyond the limit: ", more, ".", "")
    return (
        worst["title"], " is ", percent(worst["share"]), f" of the {holder}'s ", dollars(worst["held_usd"]), ": ",
        dollars(worst["part_usd"]), ".", pc.if_else(pc.greater(worst["count"], 1), others, ""),
    )  # fmt: skip
