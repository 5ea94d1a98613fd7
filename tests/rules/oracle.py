"""Each rule's expected findings, computed independently in plain Python with exact fractions."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from datetime import timedelta
from decimal import ROUND_HALF_EVEN, Decimal
from fractions import Fraction
from typing import Any

from include.rules.policy import Policy
from include.rules.snapshot import Snapshot

Found = dict[tuple[str, int], Decimal]
CENT, TENTH = Decimal("0.01"), Decimal("0.1")


def expect(snapshot: Snapshot, policy: Policy) -> Found:
    """Return the expected findings: (rule, subject) -> measure."""
    return {(rule, subject): measure for rule, subject, measure in _all(Rows(snapshot), snapshot, policy)}


class Rows:
    """The snapshot as dicts."""

    def __init__(self, snapshot: Snapshot) -> None:
        self.accounts = {row["account_id"]: row for row in snapshot.accounts.to_pylist()}
        self.shares: dict[tuple[int, int], Fraction] = defaultdict(Fraction)
        for row in snapshot.owners.to_pylist():
            if row["household_id"] is not None:
                self.shares[row["account_id"], row["household_id"]] += Fraction(row["share_ratio"])
        self.positions = [row for row in snapshot.positions.to_pylist() if row["account_id"] in self.accounts]
        self.held: dict[int, Decimal] = defaultdict(Decimal)
        for row in self.positions:
            self.held[row["account_id"]] += row["market_value_usd"]
        self.securities = {row["security_id"]: row for row in snapshot.securities.to_pylist()}

    def of_households(self, values: dict[int, Decimal]) -> dict[int, Decimal]:
        """Sum accounts' money by household, by the owners' shares, rounded once."""
        sums: dict[int, Fraction] = defaultdict(Fraction)
        for (account, household), share in self.shares.items():
            if account in values:
                sums[household] += Fraction(values[account]) * share
        return {household: round_to(value, CENT) for household, value in sums.items()}

    def value(self, column: str) -> dict[int, Decimal]:
        return {number: row[column] or Decimal(0) for number, row in self.accounts.items()}


def round_to(value: Fraction, to: Decimal) -> Decimal:
    exact = Decimal(value.numerator) / Decimal(value.denominator)
    return exact.quantize(to, ROUND_HALF_EVEN)


def share(part: Decimal, whole: Decimal) -> Decimal:
    return round_to(Fraction(part) * 100 / Fraction(whole), TENTH)


def is_share(part: Decimal, whole: Decimal, percent: Decimal) -> bool:
    return part * 100 >= whole * percent


def _all(rows: Rows, snapshot: Snapshot, policy: Policy) -> Iterator[tuple[str, int, Decimal]]:
    yield from _of_accounts(rows, snapshot, policy)
    yield from _of_households(rows, policy)
    yield from _concentrations(rows, policy)
    yield from _flows(rows, snapshot, policy)


def _of_accounts(rows: Rows, snapshot: Snapshot, policy: Policy) -> Iterator[tuple[str, int, Decimal]]:
    due = snapshot.business_date - timedelta(days=policy.unfunded_days)
    for number, row in rows.accounts.items():
        value, cash = row["market_value_usd"], row["cash_usd"]
        if cash is not None and cash < -policy.negative_cash_tolerance_usd:
            yield "negative_cash", number, cash
        if (
            value is not None and value > 0 and cash is not None and cash >= policy.excess_cash_floor_usd
            and is_share(cash, value, policy.excess_cash_percent)
        ):  # fmt: skip
            yield "excess_cash", number, share(cash, value)
        if row["is_active"] and row["open_date"] <= due and not value:
            yield "account_unfunded", number, Decimal(0)
        owned = sum((s for (account, _), s in rows.shares.items() if account == number), Fraction())
        if row["is_active"] and abs(owned - 1) > Fraction(policy.share_tolerance_ratio):
            yield "account_unowned", number, round_to(owned, Decimal("0.0001"))
        if row["was_active"] and not row["is_active"]:
            yield "account_closed", number, row["before_usd"] or Decimal(0)
        if broken := sum(1 for b in snapshot.breaks.to_pylist() if b["account_id"] == number) if snapshot.breaks else 0:
            yield "roll_forward_break", number, Decimal(broken)


def _of_households(rows: Rows, policy: Policy) -> Iterator[tuple[str, int, Decimal]]:
    now, before = rows.of_households(rows.value("market_value_usd")), rows.of_households(rows.value("before_usd"))
    flow = rows.of_households(rows.value("net_flow_usd"))
    held = rows.of_households({n: rows.held.get(n, Decimal(0)) for n in rows.accounts})
    for household in now:
        move = now[household] - before[household] - flow[household]
        if (
            before[household] > 0 and abs(move) >= policy.aum_move_floor_usd
            and is_share(abs(move), before[household], policy.aum_move_percent)
        ):  # fmt: skip
            yield "household_aum_moved", household, share(move, before[household])
        gap = held[household] - now[household]
        if abs(gap) > policy.household_total_tolerance_usd:
            yield "household_total_broken", household, gap


def _concentrations(rows: Rows, policy: Policy) -> Iterator[tuple[str, int, Decimal]]:
    of_account: dict[tuple[int, int], Decimal] = defaultdict(Decimal)
    of_household: dict[tuple[int, int], Fraction] = defaultdict(Fraction)
    for row in rows.positions:
        described: dict[str, Any] = rows.securities.get(row["security_id"], {})
        kinds = {described.get("category"), described.get("security_type")}
        if kinds & policy.concentration_exempt_types or (row["is_cash"] and not policy.concentration_includes_cash):
            continue
        of_account[row["account_id"], row["security_id"]] += row["market_value_usd"]
        for (account, household), part in rows.shares.items():
            if account == row["account_id"]:
                of_household[household, row["security_id"]] += Fraction(row["market_value_usd"]) * part
    by_household = {key: round_to(value, CENT) for key, value in of_household.items()}
    yield from _largest(
        "account_concentration", of_account, rows.held, policy.account_concentration_floor_usd,
        policy.account_concentration_percent,
    )  # fmt: skip
    yield from _largest(
        "household_concentration", by_household, rows.of_households(rows.held), policy.household_concentration_floor_usd,
        policy.household_concentration_percent,
    )  # fmt: skip


def _largest(
    rule: str, parts: dict[tuple[int, int], Decimal], wholes: dict[int, Decimal], floor: Decimal, percent: Decimal
) -> Iterator[tuple[str, int, Decimal]]:
    largest: dict[int, Decimal] = {}
    for (subject, _), part in parts.items():
        whole = wholes[subject]
        if whole > 0 and part >= floor and is_share(part, whole, percent):
            largest[subject] = max(part, largest.get(subject, part))
    for subject, part in largest.items():
        yield rule, subject, share(part, wholes[subject])


def _flows(rows: Rows, snapshot: Snapshot, policy: Policy) -> Iterator[tuple[str, int, Decimal]]:
    sums: dict[tuple[str, int], Decimal] = defaultdict(Decimal)
    for row in snapshot.flows.to_pylist():
        if row["account_id"] in rows.accounts and row["trade_date"] > snapshot.business_date - timedelta(
            days=policy.flow_review_days
        ):
            sums[row["flow"], row["account_id"]] += row["amount_usd"]
    for (kind, number), amount in sums.items():
        value = rows.accounts[number]["market_value_usd"] or Decimal(0)
        rule, moved, whole = (
            ("large_deposit", amount, value)
            if kind == "contribution"
            else ("large_withdrawal", -amount, value - amount)
        )
        is_large = moved >= policy.large_flow_floor_usd and is_share(moved, whole, policy.large_flow_percent)
        if moved > 0 and (is_large or moved >= policy.large_flow_always_usd):
            yield rule, number, moved
