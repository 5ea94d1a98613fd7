"""Numbers that several marts show are the same in all of them, and add up: over random firms of two portfolio systems and a planner."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from tests.warehouse.loading import QUICK, Loader, Make, position, transaction
from tests.warehouse.planning_office import NOON

HOMES = ("h1", "h2")
KEYS = ("a", "b", "c")
CENT = Decimal("0.01")
_DAYS = itertools.count()
"""Each firm has days of its own, because the marts of a database show all of its vendors."""

Shares = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Account:
    """An account of one vendor. Values are in cents, by day: None where the vendor lists the account without one.

    Attributes:
        shares: Household and share; none for an account that no household owns.
        is_linked: Whether it is a copy of the first vendor's account with the same key.
        paid: Flows in cents, by day.
    """

    vendor: str
    key: str
    shares: Shares
    is_counted: bool
    is_linked: bool
    values: tuple[int | None, int | None]
    paid: tuple[int, int]


_SHARES: tuple[Shares, ...] = (
    (), (("h1", "1"),), (("h2", "1"),), (("h1", "0.5"), ("h2", "0.5")), (("h1", "0.6"),),
    (("h1", "0.33333333"), ("h2", "0.66666667")),
)  # fmt: skip
_CENTS = st.integers(-999, 99_999)


def draw_accounts(vendor: str) -> st.SearchStrategy[list[Account]]:
    account = st.builds(
        Account, st.just(vendor), st.sampled_from(KEYS), st.sampled_from(_SHARES), st.integers(0, 3).map(bool),
        st.just(False) if vendor == "pms" else st.booleans(), st.tuples(*[st.none() | _CENTS] * 2), st.tuples(_CENTS, _CENTS),
    )  # fmt: skip
    return st.lists(account, unique_by=lambda each: each.key)


class Firm:
    """The firm, loaded: households `h1` (of a representative) and `h2` (of none) at each vendor, which are one across vendors."""

    def __init__(self, new_loader: Make, accounts: Sequence[Account], outside: Iterable[int | None]) -> None:
        self.of = {name: new_loader() for name in ("pms", "second", "planner")}
        self.loader, self.accounts = self.of["pms"], accounts
        first = date(2024, 1, 1) + timedelta(days=2 * next(_DAYS))
        self.days = (first, first + timedelta(days=1))
        for name, loader in self.of.items():
            loader.load("representative", [{"representative_key": "r", "name": "Rep Sample"}], first)
            homes = [{"household_key": "h1", "representative_key": "r"}, {"household_key": "h2"}]
            loader.load("household", [home | {"name": f"Sample {name}"} for home in homes], first)
            self._load(loader, [each for each in accounts if each.vendor == name])
        self._load_outside(outside)
        for loader in self.of.values():
            for home in HOMES:
                self._link(loader, "household", home)
        for each in accounts:
            if each.is_linked:
                self._link(self.of[each.vendor], "account", each.key)

    def _load(self, loader: Loader, accounts: Sequence[Account]) -> None:
        about = [{"account_key": each.key, "is_counted": each.is_counted} for each in accounts]
        loader.load("account", about, self.days[0])
        owners = [
            {"account_owner_key": f"{each.key}:{home}", "account_key": each.key, "household_key": home, "share_ratio": Decimal(share)}
            for each in accounts for home, share in each.shares
        ]  # fmt: skip
        loader.load("account_owner", owners, self.days[0])
        classes = [{"security_key": "s1", "asset_class": "Equity"}, {"security_key": "s2"}]
        loader.load("security", classes, self.days[0])
        for nth, day in enumerate(self.days):
            held = [(each, CENT * cents) for each in accounts if (cents := each.values[nth]) is not None]
            money = [
                {"account_value_key": each.key, "account_key": each.key, "market_value_usd": usd} for each, usd in held
            ]
            loader.load("account_value", money, day)
            loader.load(
                "position",
                [
                    position(f"{each.key}{part}", account=each.key, security_key=f"s{part}", money=str(usd))
                    for each, total in held for part, usd in ((1, total - CENT), (2, CENT))
                ], day,
            )  # fmt: skip
            trades = [
                transaction(f"{each.key}:{day}", 0, day, "posted", str(CENT * cents))
                | {"account_key": each.key, "flow": "contribution" if cents > 0 else "distribution"}
                for each in accounts if (cents := each.paid[nth])
            ]  # fmt: skip
            loader.load("transaction", trades, day, pulled="pushed")

    def _load_outside(self, outside: Iterable[int | None]) -> None:
        planner, worth = self.of["planner"], dict(zip(KEYS, outside, strict=False))
        planner.load(
            "outside_account", [{"outside_account_key": key, "household_key": "h1"} for key in worth], self.days[0]
        )
        stated = {"requested_on": self.days[0], "requested_at": NOON}
        planner.load(
            "outside_value",
            [
                stated | {"outside_value_key": key, "outside_account_key": key, "market_value_usd": None if cents is None else CENT * cents}
                for key, cents in worth.items()
            ], self.days[0],
        )  # fmt: skip

    def _link(self, loader: Loader, entity: str, key: str) -> None:
        loader.database.do(
            """
            insert into warehouse.identity (entity, id, identity_id, recorded_from, source_run_id)
            select entity, k.id, o.id, clock_timestamp(), 'link' from warehouse.source_key k
            join warehouse.source_key o using (entity, source_key)
            where entity = :entity and source_key = :key and k.vendor = :vendor and o.vendor = :original and k.id <> o.id
            """,
            entity=entity, key=key, vendor=loader.vendor.name, original=self.loader.vendor.name,
        )  # fmt: skip

    def rows(self, query: str, **values: Any) -> list[dict[str, Any]]:
        vendors = [loader.vendor.name for loader in self.of.values()]
        return self.loader.rows(query, vendors=vendors, first=self.days[0], last=self.days[1], **values)

    def sum_days(self, mart: str, day: str, amount: str, at: Any = "infinity") -> tuple[dict[date, Decimal], int]:
        """Return the sum of a mart's amounts on each day, without days of 0, and the number of its rows."""
        rows = self.rows(
            f"select {day} as day, {amount} as usd from mart.{mart}_as_known(:at) where {day} between :first and :last",
            at=at,
        )
        sums = dict.fromkeys(self.days, Decimal(0))
        for row in rows:
            sums[row["day"]] += row["usd"]
        return sums, len(rows)

    def list_counted(self, nth: int) -> list[Account]:
        """Return the records that count on a day: of an account that both vendors have, the first vendor's if it has a value then."""
        held = [each for each in self.accounts if each.values[nth] is not None]
        originals = {each.key for each in held if each.vendor == "pms"}
        return [each for each in held if each.is_counted and not (each.is_linked and each.key in originals)]


def is_near(sums: dict[date, Decimal], expected: dict[date, Decimal], rows: int) -> bool:
    """Whether sums differ only by the cents of rounded rows: half a cent each."""
    return all(abs(sums[day] - expected[day]) <= rows * CENT / 2 for day in expected)


firms = st.tuples(
    st.tuples(draw_accounts("pms"), draw_accounts("second")).map(lambda both: both[0] + both[1]),
    st.lists(st.none() | _CENTS, max_size=2),
)


@settings(QUICK, max_examples=15, phases=[Phase.generate])
@given(drawn=firms)
def test_assets_and_flows_add_up_in_every_mart(new_loader: Make, drawn: tuple[list[Account], list[int | None]]) -> None:
    firm = Firm(new_loader, *drawn)
    assets = {
        day: sum((CENT * (a.values[n] or 0) for a in firm.list_counted(n)), Decimal(0))
        for n, day in enumerate(firm.days)
    }
    for at in ("infinity", firm.loader.now()):
        for mart in ("aum_by_household", "aum_by_representative", "aum_by_asset_class"):
            sums, rows = firm.sum_days(mart, "business_date", "aum_usd", at)
            assert is_near(sums, assets, rows), mart
    if not any(each.is_linked for each in firm.accounts):
        paid = {
            day: sum((CENT * a.paid[n] for a in firm.accounts if a.is_counted), Decimal(0))
            for n, day in enumerate(firm.days)
        }
        sums, rows = firm.sum_days("net_flows", "trade_date", "net_flow_usd")
        assert is_near(sums, paid, rows)
        parts, rows = firm.sum_days(
            "net_flows", "trade_date", "coalesce(contributions_usd, 0) + coalesce(distributions_usd, 0)"
        )
        assert is_near(parts, sums, 2 * rows)


@settings(QUICK, max_examples=15, phases=[Phase.generate])
@given(drawn=firms)
def test_a_household_is_worth_the_same_in_every_mart(
    new_loader: Make, drawn: tuple[list[Account], list[int | None]]
) -> None:
    firm = Firm(new_loader, *drawn)
    homes = "select k.id from warehouse.source_key k where k.vendor = any(:vendors) and k.entity = 'household'"
    for row in firm.rows(f"""
        select household_id, n.household_name, h.household_name as known_name, managed_usd, held_away_usd, net_worth_usd,
               (select sum(value_usd) from mart.lineage_net_worth(n.household_id, 'infinity') where counted_key is null) as followed_usd
        from mart.net_worth n join mart.household_as_one('infinity') h using (household_id) where household_id in ({homes})
    """):
        assert row["net_worth_usd"] == (row["followed_usd"] and row["followed_usd"].quantize(CENT, "ROUND_HALF_UP"))
        assert row["household_name"] == row["known_name"]
        for listed in firm.rows(
            "select managed_usd, held_away_usd from mart.plan_assets where household_id = :id", id=row["household_id"]
        ):
            assert listed == {name: row[name] for name in listed}
    for row in firm.rows(f"""
        select a.aum_usd, (select sum(value_usd) from mart.lineage_balance('household', a.household_id, a.business_date, 'infinity')
                           where entity = 'position') as followed_usd
        from mart.aum_by_household a where household_id in ({homes}) and business_date between :first and :last
    """):
        assert row["aum_usd"] == row["followed_usd"].quantize(CENT, "ROUND_HALF_UP")
