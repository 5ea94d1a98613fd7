"""Identity in the warehouse: views show each person and household once, with the preferred vendor's values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from include.identity import decisions, store
from include.identity.policy import Policy
from include.identity.resolve import Resolved, resolve
from include.warehouse import schema
from tests.conftest import Database
from tests.warehouse.loading import DAY, NEXT, Loader, position

JOHN = {"first_name": "John", "last_name": "Sampleton", "birth_date": date(1960, 2, 3), "email": "john@example.org"}
MARY = {"first_name": "Mary", "last_name": "Sampleton", "birth_date": date(1962, 5, 6), "email": "mary@example.org"}
HOME = {"street": "12 Example St", "city": "Omaha", "state_code": "NE", "postal_code": "68102"}


class Firm:
    """Vendors that load people and households, in one database."""

    def __init__(self, database: Database, folder: Path) -> None:
        self.database, self.folder = database, folder
        self.engine = schema.engine(database.url())
        self.loaders: dict[str, Loader] = {}
        self.ranks: dict[str, dict[str, int]] = {}

    def load(self, vendor: str, entity: str, *rows: Mapping[str, Any], day: date = DAY) -> None:
        loader = self.loaders.setdefault(vendor, Loader(self.database, self.folder, vendor))
        loader.load(entity, rows, day)

    def people(self, vendor: str, *people: Mapping[str, Any], day: date = DAY) -> None:
        """Load people."""
        rows = [{"person_key": f"p{n}"} | dict(person) for n, person in enumerate(people, 1)]
        self.load(vendor, "person", *rows, day=day)

    def resolve(self, run_id: str = "r", policy: Policy | None = None) -> Resolved | None:
        vendors = [replace(each.vendor, ranks=self.ranks.get(name, {"": 100})) for name, each in self.loaders.items()]
        return resolve(self.engine, vendors, run_id, NEXT, policy)

    def known(self, view: str = "known_person") -> list[dict[str, Any]]:
        return self.database.rows(f"select * from warehouse.{view} where is_anchor order by identity_id")

    def close(self) -> None:
        for engine in (self.engine, *(loader.engine for loader in self.loaders.values())):
            engine.dispose()


@pytest.fixture
def firm(database: Database, tmp_path: Path) -> Iterator[Firm]:
    firm = Firm(database, tmp_path)
    yield firm
    firm.close()


def test_a_person_of_two_vendors_is_shown_once(firm: Firm) -> None:
    firm.people("alpha", JOHN, MARY)
    firm.people("beta", JOHN)
    result = firm.resolve()
    assert result is not None
    assert (result.records, result.people, result.changed) == (3, 2, 1)
    assert [(p["vendor"], p["first_name"]) for p in firm.known()] == [("alpha", "John"), ("alpha", "Mary")]


def test_father_and_son_are_two_though_their_household_has_one_email(firm: Firm) -> None:
    firm.load("alpha", "household", {"household_key": "h1", "name": "Sampleton", "email": "us@example.org"} | HOME)
    bare = {"first_name": "John", "last_name": "Sampleton", "household_key": "h1"}
    firm.people("alpha", bare, bare)
    result = firm.resolve()
    assert result is not None
    assert (result.people, result.review, result.left_over) == (2, 1, 0)


def test_another_threshold_counts_from_the_next_run_on(firm: Firm) -> None:
    firm.people("alpha", JOHN)
    firm.people("beta", JOHN)
    firm.resolve()
    assert firm.resolve("r2") is None
    result = firm.resolve("r3", Policy(link_score=40.0))
    assert result is not None
    assert (result.people, result.review) == (2, 1)


def test_before_the_first_run_each_record_represents_itself(firm: Firm) -> None:
    firm.people("alpha", JOHN)
    firm.people("beta", JOHN)
    assert [p["vendor"] for p in firm.known()] == ["alpha", "beta"]


def test_the_vendor_of_the_lower_rank_is_believed(firm: Firm) -> None:
    firm.people("alpha", JOHN | {"phone": "402-555-0101"})
    firm.people("beta", JOHN | {"phone": "402-555-0102"})
    firm.ranks = {"alpha": {"": 20}, "beta": {"": 10}}
    firm.resolve()
    assert [p["phone"] for p in firm.known()] == ["402-555-0102"]


def test_an_attribute_may_have_a_rank_of_its_own(firm: Firm) -> None:
    firm.people("alpha", JOHN | {"phone": "402-555-0101"})
    firm.people("beta", JOHN | {"phone": "402-555-0102", "last_name": "Sampletón"})
    firm.ranks = {"alpha": {"": 20, "phone": 5}, "beta": {"": 10}}
    firm.resolve()
    [john] = firm.known()
    assert (john["phone"], john["last_name"]) == ("402-555-0101", "Sampletón")


def test_values_missing_at_the_first_vendor_come_from_the_next(firm: Firm) -> None:
    firm.people("alpha", JOHN)
    firm.people("beta", JOHN | {"phone": "402-555-0102"})
    firm.ranks = {"alpha": {"": 1}, "beta": {"": 2}}
    firm.resolve()
    assert [p["phone"] for p in firm.known()] == ["402-555-0102"]


def test_a_vendor_without_a_rank_comes_last(firm: Firm) -> None:
    firm.people("alpha", JOHN | {"phone": "402-555-0101"})
    firm.people("beta", JOHN | {"phone": "402-555-0102"})
    firm.ranks = {"alpha": {}, "beta": {"": 999}}
    firm.resolve()
    assert [p["phone"] for p in firm.known()] == ["402-555-0102"]


def test_values_of_a_vendor_no_longer_used_come_last(firm: Firm) -> None:
    firm.people("alpha", JOHN | {"phone": "402-555-0101"})
    firm.people("beta", JOHN | {"phone": "402-555-0102", "birth_date": None})
    firm.ranks = {"alpha": {"": 10}, "beta": {}}
    firm.database.do("insert into control.unused_vendor (vendor) values ('alpha')")
    firm.resolve()
    assert [(p["phone"], p["birth_date"]) for p in firm.known()] == [("402-555-0102", JOHN["birth_date"])]


def test_a_name_is_taken_whole_from_one_vendor(firm: Firm) -> None:
    firm.people("alpha", {**JOHN, "first_name": None, "name": "J Sampleton"})
    firm.people("beta", JOHN | {"name": "John Q. Sampleton"})
    firm.ranks = {"alpha": {"": 1}, "beta": {"": 2}}
    ids = [row["person_id"] for row in firm.database.rows("select person_id from warehouse.person")]
    decisions.decide(firm.engine, "person", *ids, True, "Asked the advisor", "ursula")  # an initial alone is not enough
    firm.resolve()
    [john] = firm.known()
    assert (john["name"], john["first_name"]) == ("J Sampleton", None)


def test_an_address_is_taken_whole_from_one_vendor(firm: Firm) -> None:
    old = {"street": "99 Sample Ave", "postal_code": "80202"}
    for vendor, home in (("alpha", old), ("beta", HOME)):
        firm.load(vendor, "household", {"household_key": "h1", "name": "Sampleton"} | home)
        firm.people(vendor, JOHN | {"household_key": "h1"}, MARY | {"household_key": "h1"})
    firm.ranks = {"alpha": {"": 2}, "beta": {"": 2, "address": 1}}
    firm.resolve()
    firm.ranks = {"alpha": {"": 2, "address": 0}, "beta": {"": 2, "address": 1}}
    with firm.engine.begin() as db:
        store.rank_vendors(db, [replace(each.vendor, ranks=firm.ranks[name]) for name, each in firm.loaders.items()])
    [home] = firm.known("known_household")
    assert (home["street"], home["city"], home["postal_code"]) == ("99 Sample Ave", None, "80202")


def test_vendor_records_stay_unchanged(firm: Firm) -> None:
    firm.people("alpha", JOHN)
    firm.people("beta", JOHN | {"phone": "402-555-0102"})
    before = firm.database.rows("select * from warehouse.person order by person_id")
    firm.resolve()
    assert firm.database.rows("select * from warehouse.person order by person_id") == before


def test_the_second_person_of_a_record_ties_records_of_her_own_together(firm: Firm) -> None:
    joint = {"name": "John & Mary Sampleton", **HOME}
    firm.people("alpha", joint)
    firm.people("beta", MARY | HOME)
    firm.people("gamma", MARY | HOME)
    joint_id, *marys = [
        row["person_id"] for row in firm.database.rows("select person_id from warehouse.person order by 1")
    ]
    decisions.decide(firm.engine, "person", -joint_id, marys[0], True, "Asked the advisor", "ursula")
    firm.resolve()
    shown = firm.database.rows("select person_id, identity_id from warehouse.known_person order by 1")
    assert [row["identity_id"] for row in shown] == [joint_id, marys[0], marys[0]]


def test_a_person_keeps_id_and_key_when_the_first_vendor_has_the_record_no_more(firm: Firm) -> None:
    for vendor in ("alpha", "beta", "gamma"):
        firm.load(vendor, "household", {"household_key": "h1", "name": "Sampleton"})
        firm.people(vendor, JOHN | {"household_key": "h1"}, MARY | {"household_key": "h1"})
    firm.resolve()
    before = {view: firm.known(view) for view in ("known_person", "known_household")}
    assert [len(rows) for rows in before.values()] == [2, 1]
    firm.database.do("update warehouse.person set valid_to = :day where vendor = 'alpha'", day=NEXT)
    firm.database.do("update warehouse.household set valid_to = :day where vendor = 'alpha'", day=NEXT)
    for run_id in (None, "r2", "r3"):
        if run_id:
            firm.database.do("delete from control.identity_run")
            firm.resolve(run_id)
        for view, rows in before.items():
            key = view.replace("known_", "") + "_key"
            assert [(row["identity_id"], row["vendor"], row[key]) for row in firm.known(view)] == [
                (row["identity_id"], row["vendor"], row[key]) for row in rows
            ]


def test_whose_a_record_was_stays_known(firm: Firm) -> None:
    firm.people("alpha", JOHN)
    firm.people("beta", JOHN)
    firm.resolve()
    [link] = firm.database.rows("select left_id, right_id from control.identity_link")
    decisions.decide(firm.engine, "person", *link.values(), False, "Father and son", "ursula")
    firm.resolve("r2")
    [was] = firm.database.rows(
        "select id, identity_id, recorded_from < recorded_to as is_closed from warehouse.identity"
    )
    assert (was["id"], was["identity_id"], was["is_closed"]) == (link["right_id"], link["left_id"], True)
    assert len(firm.known()) == 2


def test_one_of_many_concurrent_decisions_is_recorded_and_the_others_are_rejected(firm: Firm) -> None:
    firm.people("alpha", JOHN, MARY)
    left, right = [row["person_id"] for row in firm.database.rows("select person_id from warehouse.person order by 1")]

    def decide(number: int) -> str:
        try:
            decision = decisions.decide(
                firm.engine, "person", left, right, number % 2 == 0, "At once", f"person {number}"
            )
        except decisions.DecisionRefused as refused:
            return refused.known.decided_by if refused.known else ""
        return decision.decided_by

    with ThreadPoolExecutor(8) as people:
        outcomes = set(people.map(decide, range(8)))
    [recorded] = firm.database.rows("select decided_by from control.identity_decision")
    assert outcomes == {recorded["decided_by"]}


APPLE = {"security_key": "s1", "cusip": "037833100", "ticker": "AAPL"}


def load_position(firm: Firm, vendor: str, security: Mapping[str, Any], money: str) -> None:
    """Load an account with one position, in a household of its own."""
    firm.load(vendor, "household", {"household_key": "h1", "name": "Sampleton"})
    firm.load(vendor, "account", {"account_key": "a1", "is_counted": True})
    firm.load(
        vendor,
        "account_owner",
        {
            "account_owner_key": "a1:h1",
            "account_key": "a1",
            "household_key": "h1",
            "share_ratio": Decimal(1),
            "role": "primary",
        },
    )
    firm.load(vendor, "security", security)
    firm.load(vendor, "position", position("p1", money=money))


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


def load_held(firm: Firm, managed_usd: Decimal | None, **fields: Any) -> None:
    """Load a household of two vendors: one manages an account, which the other lists as held away. `fields` are both records'."""
    for vendor in ("alpha", "beta"):
        firm.load(vendor, "household", {"household_key": "h1", "name": "Sampleton"} | HOME)
        firm.people(vendor, JOHN | {"household_key": "h1"}, MARY | {"household_key": "h1"})
    managed = {"account_key": "a1", "custodian": "Pershing", "is_counted": True}
    firm.load("alpha", "account", ACCOUNT | managed | fields)
    owner = {
        "account_owner_key": "a1:h1",
        "account_key": "a1",
        "household_key": "h1",
        "person_key": "p1",
        "role": "primary",
    }
    firm.load("alpha", "account_owner", owner | {"share_ratio": Decimal(1)})
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
    owner = {
        "account_owner_key": "a1:h1",
        "account_key": "a1",
        "household_key": "h1",
        "person_key": "p1",
        "role": "primary",
    }
    firm.load("alpha", "account_owner", owner | {"share_ratio": Decimal(1)})
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


def test_an_undo_that_contradicts_another_decision_is_refused(firm: Firm) -> None:
    """The undone decision allowed the others. Without it, two of three decisions would apply, and no reviewer would know which."""
    firm.people("alpha", JOHN, MARY, JOHN)
    a, b, c = (row["person_id"] for row in firm.database.rows("select person_id from warehouse.person order by 1"))

    def decide(left: int, right: int, is_same: bool, seen: int | None = None) -> int:
        return decisions.decide(firm.engine, "person", left, right, is_same, "Asked", "ursula", seen).decision_id

    first = decide(a, b, False)
    replaced = decide(a, b, True, first)
    last = [decide(a, c, True), decide(b, c, True)][1]
    with pytest.raises(decisions.DecisionRefused, match="contradicts the decision on another pair") as refused:
        decisions.undo(firm.engine, replaced, "ursula")
    assert refused.value.known is not None
    assert refused.value.known.decision_id == last
    decisions.undo(firm.engine, last, "ursula")
    assert not decisions.undo(firm.engine, replaced, "ursula").is_same


def test_a_household_that_only_a_past_pull_lists_stops_no_run(firm: Firm) -> None:
    """Its row of the current pull is a dead letter, for example."""
    firm.people("alpha", JOHN | {"household_key": "h1"}, MARY | {"household_key": "h1"})
    firm.loaders["alpha"].load("household", [{"household_key": "h1", "name": "Sampleton"} | HOME], pulled="historical")
    firm.people("alpha", JOHN | {"household_key": "h1"}, MARY | {"household_key": "h1"}, day=NEXT)
    firm.load("beta", "household", {"household_key": "h1", "name": "Sampleton"} | HOME)
    firm.people("beta", JOHN | {"household_key": "h1"}, MARY | {"household_key": "h1"})
    result = firm.resolve()
    assert result is not None
    assert (result.people, result.households) == (2, 1)
    firm.load("alpha", "household", {"household_key": "h1", "name": "Sampleton"} | HOME)
    firm.resolve("r2")
    assert len(firm.known("known_household")) == 1
