"""Properties of the rules on any day: they agree with plain Python, in any row order, and find more as thresholds fall."""

from __future__ import annotations

from dataclasses import fields, replace
from datetime import timedelta
from decimal import Decimal
from random import Random
from typing import Any

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from include.rules import RULES
from include.rules.evaluation import FOUND, evaluate
from include.rules.policy import Policy
from include.rules.snapshot import Snapshot
from tests.rules.oracle import Found, expect
from tests.rules.snapshots import DAY, make_snapshot

CENTS = st.decimals(-500_000, 1_500_000, places=2)
ROUND = st.sampled_from(
    [Decimal(n).quantize(Decimal("0.01")) for n in (0, 1, -1, 25_000, 50_000, 100_000, 250_000, 10**9)]
)
MONEY = st.one_of(CENTS, ROUND)
NUMBERS = st.integers(1, 6)
SHARES = st.sampled_from([Decimal(s) for s in ("1", "0.5", "0.33333333", "0.00000001", "0.25")])
DAYS = st.integers(0, 60).map(lambda n: DAY - timedelta(days=n))


def rows(**columns: st.SearchStrategy[Any]) -> st.SearchStrategy[list[dict[str, Any]]]:
    return st.lists(st.fixed_dictionaries(columns), max_size=12)


@st.composite
def snapshots(draw: st.DrawFn) -> Snapshot:
    maybe = st.one_of(st.none(), MONEY)
    accounts = draw(
        st.lists(
            st.fixed_dictionaries(
                {
                    "account_id": NUMBERS, "market_value_usd": maybe, "cash_usd": maybe, "before_usd": maybe,
                    "net_flow_usd": MONEY, "is_active": st.booleans(), "was_active": st.one_of(st.none(), st.booleans()),
                    "open_date": DAYS,
                }
            ),
            unique_by=lambda row: row["account_id"],
        )
    )  # fmt: skip
    ids = st.sampled_from([row["account_id"] for row in accounts] or [1])
    if not accounts:
        return make_snapshot()
    household = st.one_of(st.none(), st.integers(1, 4))
    kinds = st.one_of(st.none(), st.sampled_from(["ETF", "Common Stock"]))
    securities = [{"security_id": n, "title": f"S{n}", "security_type": draw(kinds)} for n in range(1, 4)]
    return make_snapshot(
        accounts,
        draw(rows(account_id=ids, household_id=household, share_ratio=SHARES)) or [{"account_id": 99, "household_id": 1}],
        draw(rows(account_id=ids, security_id=st.integers(1, 4), market_value_usd=MONEY, is_cash=st.booleans())),
        draw(rows(account_id=ids, trade_date=DAYS, flow=st.sampled_from(["contribution", "distribution"]), amount_usd=MONEY)),
        draw(rows(account_id=st.one_of(st.none(), NUMBERS), difference_quantity=MONEY)),
        securities,
    )  # fmt: skip


@st.composite
def policies(draw: st.DrawFn) -> Policy:
    plain = Policy()
    chosen = {}
    for field in fields(Policy):
        default = getattr(plain, field.name)
        if isinstance(default, Decimal):
            unit = field.name.rsplit("_", 1)[1]
            most = {"percent": 100, "usd": 300_000, "ratio": Decimal("0.1")}[unit]
            places = 4 if unit == "ratio" else 2
            chosen[field.name] = draw(st.one_of(st.just(default), st.decimals(Decimal("0.01"), most, places=places)))
    return Policy.of(chosen | {"concentration_includes_cash": draw(st.booleans())})


def find(snapshot: Snapshot, policy: Policy) -> list[dict[str, Any]]:
    failed: dict[str, Exception] = {}
    findings, _ = evaluate(snapshot, policy, RULES, failed)
    assert failed == {}
    assert findings.schema == FOUND
    return sorted(findings.to_pylist(), key=lambda row: (row["rule"], row["subject_id"]))


def measured(snapshot: Snapshot, policy: Policy) -> Found:
    findings = find(snapshot, policy)
    measures = {(row["rule"], row["subject_id"]): row["measure"] for row in findings}
    assert len(measures) == len(findings)
    return measures


@settings(max_examples=60, deadline=None)
@given(snapshots(), policies())
def test_findings_are_those_of_plain_python(snapshot: Snapshot, policy: Policy) -> None:
    assert measured(snapshot, policy) == expect(snapshot, policy)


@settings(max_examples=25, deadline=None)
@given(snapshots(), st.randoms(use_true_random=False))
def test_the_order_of_rows_changes_nothing(snapshot: Snapshot, random: Random) -> None:
    tables = {f.name: getattr(snapshot, f.name) for f in fields(snapshot)}
    mixed = {name: _shuffle(table, random) for name, table in tables.items() if isinstance(table, pa.Table)}
    assert find(replace(snapshot, **mixed), Policy()) == find(snapshot, Policy())


def _shuffle(table: pa.Table, random: Random) -> pa.Table:
    order = list(range(table.num_rows))
    random.shuffle(order)
    return table.take(pa.array(order, pa.int64()))


@settings(max_examples=25, deadline=None)
@given(snapshots(), policies())
def test_a_lower_limit_loses_no_finding(snapshot: Snapshot, policy: Policy) -> None:
    limits = [f.name for f in fields(Policy) if f.name.endswith(("_percent", "_usd", "_ratio"))]
    lower = replace(policy, **{name: getattr(policy, name) / 2 for name in limits})
    assert {(row["rule"], row["subject_id"]) for row in find(snapshot, policy)} <= {
        (row["rule"], row["subject_id"]) for row in find(snapshot, lower)
    }


@settings(max_examples=25, deadline=None)
@given(snapshots())
def test_a_day_like_the_one_before_moves_and_closes_nothing(snapshot: Snapshot) -> None:
    accounts = snapshot.accounts
    still = {"before_usd": accounts["market_value_usd"], "was_active": accounts["is_active"]}
    for name, column in still.items():
        accounts = accounts.set_column(accounts.schema.get_field_index(name), name, column)
    zero = pa.array([Decimal(0)] * accounts.num_rows, pa.decimal128(18, 2))
    accounts = accounts.set_column(accounts.schema.get_field_index("net_flow_usd"), "net_flow_usd", zero)
    rules = {row["rule"] for row in find(replace(snapshot, accounts=accounts), Policy())}
    assert not rules & {"household_aum_moved", "account_closed"}


@settings(max_examples=25, deadline=None)
@given(snapshots())
def test_details_are_whole_sentences_with_every_figure(snapshot: Snapshot) -> None:
    for row in find(snapshot, Policy()):
        assert row["details"].endswith(".")
        assert "None" not in row["details"]
        assert row["subject_entity"] in ("account", "household")
