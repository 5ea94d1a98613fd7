"""Identity of accounts: an account that several vendors list counts once, and belongs to its owners."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from include.identity import decisions
from tests.warehouse.identity.firm import APPLE, HOME, JOHN, MARY, Firm, load_position
from tests.warehouse.loading import DAY, NEXT


def test_an_owner_who_owns_jointly_has_no_part_in_any_sum(firm: Firm) -> None:
    load_position(firm, "alpha", APPLE | {"asset_class": "US Equity"}, "10.01")
    owner = {
        "account_key": "a1",
        "share_ratio": Decimal(1),
        "account_owner_key": "a1:h1",
        "household_key": "h1",
        "role": "primary",
    }
    other = owner | {
        "account_owner_key": "a1:joint:p2",
        "household_key": "h2",
        "share_ratio": Decimal(0),
        "role": "joint",
    }
    firm.load("alpha", "household", {"household_key": "h2", "name": "Other"})
    firm.load("alpha", "account_owner", owner, other)
    rows = firm.database.rows("select household_name, aum_usd, accounts from mart.aum_by_household")
    assert [tuple(row.values()) for row in rows] == [("Sampleton", Decimal("10.01"), 1)]
    assert firm.database.value("select positions from mart.aum_by_asset_class") == 1


ACCOUNT = {"account_number_last4": "4321", "name": "Brokerage"}
OWNER = {
    "account_owner_key": "a1:h1",
    "account_key": "a1",
    "household_key": "h1",
    "person_key": "p1",
    "role": "primary",
    "share_ratio": Decimal(1),
}


def load_held(firm: Firm, managed_usd: Decimal | None, **fields: Any) -> None:
    """Load a household of two vendors: one manages an account, which the other lists as held away. `fields` are both records'."""
    for vendor in ("alpha", "beta"):
        firm.load(vendor, "household", {"household_key": "h1", "name": "Sampleton"} | HOME)
        firm.people(vendor, JOHN | {"household_key": "h1"}, MARY | {"household_key": "h1"})
    managed = {"account_key": "a1", "custodian": "Pershing", "is_counted": True}
    firm.load("alpha", "account", ACCOUNT | managed | fields)
    firm.load("alpha", "account_owner", OWNER)
    value = {"account_value_key": "a1", "account_key": "a1", "market_value_usd": managed_usd}
    firm.load("alpha", "account_value", value)
    list_outside(firm, "x1", **fields)


def list_outside(firm: Firm, key: str, day: date = DAY, **fields: Any) -> None:
    listed = {"outside_account_key": key, "household_key": "h1", "institution": "Pershing"} | fields
    firm.load("beta", "outside_account", ACCOUNT | listed, day=day)
    value = {
        "outside_value_key": key,
        "outside_account_key": key,
        "market_value_usd": Decimal(1000),
        "requested_on": day,
    }
    firm.load("beta", "outside_value", value, day=day)


def read_worth(firm: Firm) -> tuple[Decimal, Decimal, int]:
    [row] = firm.database.rows("select managed_usd, held_away_usd, copies from mart.net_worth")
    return row["managed_usd"], row["held_away_usd"], row["copies"]


def test_a_run_after_one_that_joined_two_accounts_finds_no_change(firm: Firm) -> None:
    load_held(firm, Decimal(1000))
    resolved = firm.resolve()
    assert resolved is not None
    assert resolved.copies == 1
    assert firm.resolve("r2") is None


def test_an_account_that_a_planner_lists_again_under_another_key_counts_once(firm: Firm) -> None:
    load_held(firm, Decimal(1000))
    firm.resolve()
    assert read_worth(firm) == (1000, 0, 1)
    list_outside(firm, "x2", NEXT)
    assert firm.database.rows("select source_key from control.absence") == [{"source_key": "x1"}]
    firm.resolve("r2")
    assert read_worth(firm) == (1000, 0, 1)


@pytest.mark.parametrize("end", ["unused", "absent"])
def test_an_account_stays_one_when_the_value_of_its_copy_changes_no_more(firm: Firm, end: str) -> None:
    load_held(firm, Decimal(1000))
    firm.resolve()
    if end == "unused":
        firm.database.do("insert into control.unused_vendor (vendor) values ('beta')")
    else:
        firm.load("beta", "outside_account", day=NEXT)
    value = {"account_value_key": "a1", "account_key": "a1", "market_value_usd": Decimal(2000)}
    firm.load("alpha", "account_value", value, day=NEXT)
    firm.resolve("r2")
    assert (firm.database.value("select count(*) from warehouse.identity where entity = 'account' and recorded_to is null"),
            firm.database.value("select sum(net_worth_usd) from mart.net_worth")) == (1, 2000)  # fmt: skip
    assert firm.resolve("r3") is None


@pytest.mark.parametrize("planner_knows", ["the last four digits", "the whole number"])
def test_an_account_whose_custodian_changes_its_number_counts_once(firm: Firm, planner_knows: str) -> None:
    """At a conversion, a vendor has the new numbers days before another. Until then, no number of the account agrees."""

    def number(digit: str) -> dict[str, str]:
        return {"account_number_hash": digit * 64} if planner_knows == "the whole number" else {}

    load_held(firm, Decimal(1000), **number("a"))
    firm.resolve()
    converted = {
        "account_key": "a1",
        "custodian": "Schwab",
        "account_number_last4": "8765",
        "is_counted": True,
    } | number("b")
    firm.load("alpha", "account", ACCOUNT | converted, day=NEXT)
    firm.resolve("r2")
    assert read_worth(firm) == (1000, 0, 1)
    list_outside(firm, "x1", NEXT, **number("b"), account_number_last4="8765", institution="Schwab")
    firm.resolve("r3")
    assert read_worth(firm) == (1000, 0, 1)


def test_owners_known_by_their_account_stay_one_while_one_vendor_has_another_number(firm: Firm) -> None:
    bare = {"first_name": "John", "last_name": "Sampleton", "household_key": "h1"}
    for vendor in ("alpha", "beta"):
        firm.load(vendor, "household", {"household_key": "h1", "name": "Sampleton"})
        firm.people(vendor, bare)
    firm.load("alpha", "account_owner", OWNER)
    number = ACCOUNT | {"account_number_hash": "a" * 64}
    firm.load("alpha", "account", number | {"account_key": "a1", "is_counted": True})
    firm.load("beta", "outside_account", number | {"outside_account_key": "x1", "household_key": "h1"})
    firm.resolve()
    assert (len(firm.known()), len(firm.known("known_household"))) == (1, 1)
    converted = {
        "account_key": "a1",
        "account_number_hash": "b" * 64,
        "account_number_last4": "8765",
        "is_counted": True,
    }
    firm.load("alpha", "account", converted, day=NEXT)
    firm.database.do("delete from control.identity_run")
    firm.resolve("r2")
    assert (len(firm.known()), len(firm.known("known_household"))) == (1, 1)


def test_an_account_without_a_value_counts_with_the_value_of_its_copy(firm: Firm) -> None:
    load_held(firm, None)
    [first, second] = firm.database.rows("select account_id as id from warehouse.account union select outside_account_id from warehouse.outside_account")  # fmt: skip
    decisions.decide(firm.engine, "account", first["id"], second["id"], True, "Asked the advisor", "ursula")
    firm.resolve()
    assert read_worth(firm) == (0, 1000, 1)


def test_an_account_that_moved_to_another_vendor_is_that_of_the_vendor_in_use(firm: Firm) -> None:
    number = {"account_number_hash": "a" * 64, "is_counted": True}
    for vendor in ("alpha", "beta"):
        firm.load(vendor, "account", ACCOUNT | number | {"account_key": "a1"})
    originals = "select a.vendor from warehouse.identity i join warehouse.account a on a.account_id = i.identity_id where i.recorded_to is null"
    firm.resolve()
    assert firm.database.rows(originals) == [{"vendor": "alpha"}]
    firm.database.do("insert into control.unused_vendor (vendor) values ('alpha')")
    firm.resolve("r2")
    assert firm.database.rows(originals) == [{"vendor": "beta"}]


@pytest.mark.parametrize(
    "rows", [[], [{"account_key": "a1", "is_active": False}], [{"account_key": "a1", "close_date": DAY}]]
)
def test_an_account_that_its_first_vendor_closed_or_dropped_is_that_of_the_next(
    firm: Firm, rows: list[dict[str, Any]]
) -> None:
    """Both vendors are still in use. Salesforce shows the original: its balance and holdings are 0 if the vendor has none any more."""
    number = {"account_number_hash": "a" * 64, "is_counted": True}
    for vendor in ("alpha", "beta"):
        firm.load(vendor, "account", ACCOUNT | number | {"account_key": "a1"})
    firm.resolve()
    firm.load("alpha", "account", *(ACCOUNT | number | row for row in rows), day=NEXT)
    firm.resolve("r2")
    originals = "select a.vendor from warehouse.identity i join warehouse.account a on a.account_id = i.identity_id and a.valid_to is null and a.recorded_to is null where i.recorded_to is null"
    assert firm.database.rows(originals) == [{"vendor": "beta"}]
    firm.load("beta", "account", ACCOUNT | number | {"account_key": "a1", "is_active": False}, day=NEXT)
    firm.resolve("r3")
    assert firm.database.rows(originals) == [{"vendor": "alpha"}]


def test_a_closed_account_is_no_copy_of_what_a_planner_still_lists(firm: Firm) -> None:
    """Otherwise Salesforce would never show that it is closed."""
    load_held(firm, Decimal(1000))
    firm.resolve()
    closed = {"account_key": "a1", "custodian": "Pershing", "is_counted": True, "is_active": False}
    firm.load("alpha", "account", ACCOUNT | closed, day=NEXT)
    firm.resolve("r2")
    rows = firm.database.rows("select k.entity from warehouse.identity i join warehouse.source_key k on k.id = i.id where i.entity = 'account' and i.recorded_to is null")  # fmt: skip
    assert rows == [{"entity": "outside_account"}]
