"""Identity of securities: several vendors' records of one security count once."""

from __future__ import annotations

from decimal import Decimal

from tests.warehouse.identity.firm import APPLE, Firm, load_position
from tests.warehouse.loading import DAY, NEXT, position


def test_a_cusip_of_two_vendors_is_one_security_and_its_facts_stay_as_they_are(firm: Firm) -> None:
    load_position(firm, "alpha", APPLE | {"name": "Apple Inc", "asset_class": "US Equity"}, "10.01")
    load_position(firm, "beta", APPLE | {"security_key": "s1", "name": "APPLE", "asset_class": "Stocks"}, "20.02")
    facts = firm.database.rows("select * from warehouse.position order by vendor")

    result = firm.resolve()

    assert result is not None
    assert (result.securities, result.conflicts) == (1, 0)
    first, second = (row["security_id"] for row in facts)
    [shown] = firm.known("known_security")
    assert (shown["identity_id"], shown["vendor"], shown["name"], shown["asset_class"]) == (
        first,
        "alpha",
        "Apple Inc",
        "US Equity",
    )
    holdings = firm.database.rows(
        "select vendor, security_id, own_security_id from mart.holding_as_known('infinity') order by 1"
    )
    assert [tuple(row.values()) for row in holdings] == [("alpha", first, first), ("beta", first, second)]
    assert firm.database.rows("select * from warehouse.position order by vendor") == facts
    [of_class] = firm.database.rows("select asset_class, aum_usd from mart.aum_by_asset_class")
    assert (of_class["asset_class"], of_class["aum_usd"]) == ("US Equity", Decimal("30.03"))


def test_before_it_was_found_out_a_security_was_two(firm: Firm) -> None:
    load_position(firm, "alpha", APPLE | {"asset_class": "US Equity"}, "10.01")
    load_position(firm, "beta", APPLE | {"asset_class": "Stocks"}, "20.02")
    before = firm.loaders["alpha"].now()
    firm.resolve()
    rows = firm.database.rows("select asset_class from mart.aum_by_asset_class_as_known(:at) order by 1", at=before)
    assert [row["asset_class"] for row in rows] == ["Stocks", "US Equity"]


def test_what_the_first_vendor_does_not_know_of_a_security_the_other_adds(firm: Firm) -> None:
    load_position(firm, "alpha", APPLE, "10.01")
    load_position(firm, "beta", APPLE | {"name": "Apple Inc", "asset_class": "US Equity"}, "20.02")
    firm.resolve()
    [shown] = firm.known("known_security")
    assert (shown["vendor"], shown["name"], shown["asset_class"]) == ("alpha", "Apple Inc", "US Equity")
    [of_class] = firm.database.rows("select asset_class, aum_usd from mart.aum_by_asset_class")
    assert (of_class["asset_class"], of_class["aum_usd"]) == ("US Equity", Decimal("30.03"))


def test_a_security_of_a_vendor_no_longer_used_gets_its_new_symbol_from_the_other(firm: Firm) -> None:
    """The vendor in use follows a change of name and symbol; the other one will never do."""
    for vendor in ("alpha", "beta"):
        load_position(firm, vendor, APPLE | {"name": "Sample Books", "ticker": "SBK"}, "10.01")
    firm.resolve()
    firm.load("beta", "security", APPLE | {"name": "Sample Worlds", "ticker": "SWD"}, day=NEXT)
    firm.database.do("insert into control.unused_vendor (vendor) values ('alpha')")
    [shown] = firm.known("known_security")
    assert (shown["vendor"], shown["name"], shown["ticker"]) == ("alpha", "Sample Worlds", "SWD")


def test_a_security_of_a_vendor_no_longer_used_has_the_class_of_the_other_in_every_mart(firm: Firm) -> None:
    for vendor, money in (("alpha", "10.01"), ("beta", "20.02")):
        load_position(firm, vendor, APPLE | {"asset_class": "Stocks"}, money)
    firm.resolve()
    later = APPLE | {"asset_class": "US Equity"}
    firm.load("beta", "security", later, day=NEXT)
    firm.load("beta", "position", position("p1", money="21.00") | {"security_key": later["security_key"]}, day=NEXT)
    firm.database.do("insert into control.unused_vendor (vendor) values ('alpha')")
    [shown] = firm.known("known_security")
    assert shown["asset_class"] == "US Equity"
    rows = firm.database.rows("select business_date, asset_class, aum_usd from mart.aum_by_asset_class order by 1")
    assert [tuple(row.values()) for row in rows] == [
        (DAY, "Stocks", Decimal("30.03")),
        (NEXT, "US Equity", Decimal("21.00")),
    ]


def test_a_security_of_two_kinds_stays_two_and_is_kept_as_a_conflict_until_the_vendors_agree(firm: Firm) -> None:
    firm.load("alpha", "security", APPLE | {"security_type": "Common Stock"})
    firm.load("beta", "security", APPLE | {"security_type": "Option"})
    result = firm.resolve()
    assert result is not None
    assert (result.securities, result.conflicts) == (0, 1)
    [conflict] = firm.database.rows("select * from control.security_conflict")
    assert (conflict["number"], conflict["kinds"]) == ("037833100", ["alpha: Common Stock", "beta: Option"])

    firm.load("beta", "security", APPLE | {"security_type": "Equity"}, day=NEXT)
    result = firm.resolve("later")

    assert result is not None
    assert (result.securities, result.conflicts) == (1, 0)
    assert not firm.database.rows("select * from control.security_conflict")
