"""Known differences: a declared account whose positions the vendor never delivers, and nothing else, is accepted."""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from include.errors import InputRejected
from include.warehouse.known_difference import LONGEST_DAYS, declare
from include.warehouse.reconcile import Check
from tests.warehouse.loading import DAY, NEXT, Loader, position
from tests.warehouse.test_reconcile import check_day, read_completeness, value

TUESDAY = NEXT + timedelta(days=1)


@pytest.fixture
def friday(loader: Loader) -> Loader:
    """Account a1 adds up. The vendor states a value for a2, but delivers no position of it."""
    load_day(loader, DAY, "100.00")
    return loader


def load_day(loader: Loader, day: date, undelivered: str) -> None:
    loader.load("position", [position("a1-1", 20)], day)
    loader.load("account_value", [value("a1", "20.00"), value("a2", undelivered)], day)


def declare_a2(
    loader: Loader, last: date = NEXT, account: str = "a2", reason: str = "Held elsewhere", first: date = DAY
) -> None:
    declare(loader.engine, loader.vendor.name, account, (first, last), reason, "operator", "declare-1")


def total(loader: Loader, day: date = DAY) -> Check:
    return next(each for each in check_day(loader, day, DAY, run=str(day)) if each.name == "control total")


def test_declared_account_is_accepted_each_day_whatever_its_value(friday: Loader) -> None:
    assert not total(friday).is_passed
    declare_a2(friday)
    load_day(friday, NEXT, "123.45")

    accepted = [total(friday, day) for day in (DAY, NEXT)]

    assert {each.accepted_by for each in accepted} == {"operator (known difference)"}
    assert [each.breaks for each in accepted] == [1, 1]
    assert read_completeness(friday, "aum_by_household", NEXT)["state"] == "accepted"


def test_declaration_hides_no_difference_of_another_account(friday: Loader) -> None:
    declare_a2(friday)
    friday.load("account_value", [value("a1", "20.02"), value("a2", "100.00")])

    assert not total(friday).is_passed


def test_declared_account_must_add_up_once_a_position_of_it_is_delivered(friday: Loader) -> None:
    declare_a2(friday)
    friday.load("position", [position("a1-1", 20), position("a2-1", 99, "a2")])

    assert not total(friday).is_passed


def test_declaration_ends_on_its_last_day(friday: Loader) -> None:
    declare_a2(friday, last=NEXT)
    load_day(friday, TUESDAY, "100.00")

    assert not total(friday, TUESDAY).is_passed


def test_declaration_is_ended_by_a_newer_one(friday: Loader) -> None:
    declare_a2(friday)
    declare_a2(friday, last=DAY - timedelta(days=1), reason="Delivered now")

    assert not total(friday).is_passed


@pytest.mark.parametrize("last", [TUESDAY, DAY], ids=["renewed", "ended"])
def test_earlier_day_stays_accepted_when_the_declaration_is_renewed_or_ended(friday: Loader, last: date) -> None:
    declare_a2(friday)
    declare_a2(friday, first=NEXT, last=last, reason="Another year")
    load_day(friday, NEXT, "100.00")

    assert total(friday, DAY).is_passed
    assert total(friday, NEXT).is_passed == (last == TUESDAY)


@pytest.mark.parametrize(
    ("account", "reason", "days"),
    [("a2", " ", 1), ("unknown", "Held elsewhere", 1), ("a2", "Held elsewhere", LONGEST_DAYS + 1)],
)
def test_declaration_without_reason_account_or_end_is_refused(
    friday: Loader, account: str, reason: str, days: int
) -> None:
    with pytest.raises(InputRejected):
        declare_a2(friday, DAY + timedelta(days=days), account, reason)


def test_audit_trail_has_the_declaration_and_the_accepted_day(friday: Loader) -> None:
    declare_a2(friday)
    total(friday)

    entries = friday.rows(
        "select action, actor, details ->> 'reason' as reason from control.audit where starts_with(subject, :vendor || ' ')"
        " and action in ('difference.declared', 'day.accepted') order by entry_id"
    )
    assert [tuple(entry.values()) for entry in entries] == [
        ("difference.declared", "operator", "Held elsewhere"),
        ("day.accepted", "operator (known difference)", None),
    ]
