"""Rules about a household's assets: large moves, and totals that disagree."""

from __future__ import annotations

from decimal import Decimal

import pyarrow as pa
import pyarrow.compute as pc

from include.rules.finding import about_households, dollars, is_share, percent, percent_of, usd
from include.rules.policy import Policy
from include.rules.snapshot import USD, Snapshot


def find_aum_moves(snapshot: Snapshot, policy: Policy) -> pa.Table | None:
    """A household's assets moved beyond a threshold, and deposits and withdrawals do not explain it.

    What: the household's assets (its shares of the values of its accounts), minus its assets on the previous day, minus the net flows
        since. Today's shares apply to both days, so that a change of owner is no move. An account counts, or its sleeves do, as on each
        day, so that a change to sleeves is no move. A household is not evaluated if it has no assets on the previous day, or if the
        value of one of its accounts on that day is a dead letter.
    Why: a shock, a wrong price or a missed transfer; the advisor should know before the family calls.
    Threshold: both `aum_move_percent` and `aum_move_floor_usd`, up or down. Measure: percent of the previous assets, signed.
    Closes: after the rule's `open_days`, because a move is an event of one day.

    Returns None if there is no previous day to compare with, or if a dead letter of that day may contain the value of any account.
    """
    unknown = snapshot.silent_before["subject_id"]
    if snapshot.before is None or unknown.null_count:
        return None
    owned = snapshot.sum_owned(snapshot.accounts, "market_value_usd", "before_usd", "net_flow_usd")
    owned = owned.join(snapshot.sleeved, "household_id")
    before = pc.add(owned["before_usd"], pc.fill_null(owned["sleeved_usd"], Decimal(0))).cast(USD)
    owned = owned.set_column(owned.schema.get_field_index("before_usd"), "before_usd", before)
    change = pc.subtract(owned["market_value_usd"], owned["before_usd"])
    owned = owned.append_column("move_usd", pc.subtract(change, owned["net_flow_usd"]).cast(USD))
    size = pc.abs(owned["move_usd"])
    is_moved = pc.and_(
        pc.greater_equal(size, usd(policy.aum_move_floor_usd)),
        is_share(size, owned["before_usd"], policy.aum_move_percent),
    )
    is_known = pc.invert(pc.is_in(owned["household_id"], value_set=unknown.combine_chunks()))
    moved = owned.filter(pc.and_(pc.and_(pc.greater(owned["before_usd"], usd(Decimal(0))), is_known), is_moved))
    share = percent_of(moved["move_usd"], moved["before_usd"])
    return about_households(
        snapshot, moved, share,
        "Assets changed by ", percent(share), " (", dollars(moved["move_usd"]), f") since {snapshot.before}, from ",
        dollars(moved["before_usd"]), " to ", dollars(moved["market_value_usd"]), ", excluding net flows of ",
        dollars(moved["net_flow_usd"]), ".",
    )  # fmt: skip


def find_broken_totals(snapshot: Snapshot, policy: Policy) -> pa.Table:
    """A household's positions do not add up to the values of its accounts.

    What: the sum of the positions, and the sum of the account values, on the same day. Both are weighted by the household's shares of
        the accounts.
    Why: one of the two numbers that the advisor sees is wrong, and neither should be quoted.
    Threshold: a difference of more than `household_total_tolerance_usd`. Measure: dollars, positions minus account values.
    Closes: both sums agree again.
    """
    accounts = snapshot.accounts.select(["account_id", "market_value_usd"]).join(snapshot.held, "account_id")
    owned = snapshot.sum_owned(accounts, "market_value_usd", "held_usd")
    owned = owned.append_column("gap_usd", pc.subtract(owned["held_usd"], owned["market_value_usd"]).cast(USD))
    broken = owned.filter(pc.greater(pc.abs(owned["gap_usd"]), usd(policy.household_total_tolerance_usd)))
    return about_households(
        snapshot, broken, broken["gap_usd"],
        "Positions add up to ", dollars(broken["held_usd"]), "; account values add up to ",
        dollars(broken["market_value_usd"]), ": a difference of ", dollars(broken["gap_usd"]), ".",
    )  # fmt: skip
