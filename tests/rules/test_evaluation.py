"""All rules over a loaded day, from the warehouse to the findings."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

import pytest

from include.control.findings import Tally
from include.errors import FatalError
from include.rules import HOUSEHOLD_RULES, RULES
from include.rules.evaluation import evaluate_all
from include.rules.policy import Policy
from tests.rules.conftest import FRIDAY, MONDAY, TUESDAY, Ledgered
from tests.warehouse.loading import dead_letter

LIFE = "rule, business_date_opened, business_date_closed"


def test_a_cause_opens_a_finding_and_its_end_closes_it(firm: Ledgered) -> None:
    firm.day(FRIDAY, {"a": 100_000}, {"a": -50})
    firm.reconcile(FRIDAY)
    assert firm.evaluate() == {"negative_cash": Tally(found=1, opened=1)}
    columns = "rule, subject_entity, subject_id, household_id, representative_id, severity, measure, details"
    assert firm.findings(columns) == [
        ("negative_cash", "account", firm.id_of("account", "a"), firm.id_of("household", "h1"),
         firm.id_of("representative", "r1"), "critical", Decimal(-50), "The cash balance is -$50.00."),
    ]  # fmt: skip
    firm.day(MONDAY, {"a": 100_000}, {"a": 10})
    firm.reconcile(MONDAY)
    assert firm.evaluate() == {"negative_cash": Tally(closed=1)}
    assert firm.findings(LIFE) == [("negative_cash", FRIDAY, MONDAY)]


def test_the_same_day_again_changes_nothing(firm: Ledgered) -> None:
    firm.day(FRIDAY, {"a": 100_000}, {"a": -50})
    firm.reconcile(FRIDAY)
    firm.evaluate()
    before = firm.findings("*, xmin::text")
    assert firm.evaluate(run_id="again") == {"negative_cash": Tally(found=1, seen=1)}
    assert firm.findings("*, xmin::text") == before


def test_an_unreconciled_day_has_no_findings(firm: Ledgered) -> None:
    firm.day(FRIDAY, {"a": 100_000}, {"a": -50})
    firm.reconcile(FRIDAY)
    firm.evaluate()
    firm.day(MONDAY, {"a": 100_000}, {"a": 10})
    firm.load("position", [], MONDAY)  # nor does it add up
    assert firm.evaluate() == {}
    assert firm.findings(LIFE) == [("negative_cash", FRIDAY, None)]


def test_only_data_rules_evaluate_an_unbalanced_day(firm: Ledgered) -> None:
    firm.day(FRIDAY, {"a": 100_000}, {"a": -50})
    firm.load("position", [], FRIDAY)
    firm.reconcile(FRIDAY, is_passed=False)
    assert firm.evaluate() == {"household_total_broken": Tally(found=1, opened=1)}


def test_a_backfilled_day_has_no_findings(firm: Ledgered) -> None:
    firm.day(MONDAY, {"a": 100_000})
    firm.reconcile(MONDAY)
    firm.evaluate()
    cash = [{"account_value_key": "a", "account_key": "a", "market_value_usd": Decimal(1), "cash_usd": Decimal(-9)}]
    firm.load("account_value", cash, FRIDAY, pulled="historical")
    firm.load("position", [], FRIDAY, pulled="historical")
    assert "negative_cash" not in firm.evaluate()


def test_a_move_stays_for_its_days_and_ends(firm: Ledgered) -> None:
    firm.day(FRIDAY, {"a": 1_000_000})
    firm.day(MONDAY, {"a": 800_000})
    firm.reconcile(MONDAY)
    assert firm.evaluate() == {"household_aum_moved": Tally(found=1, opened=1)}
    firm.day(TUESDAY, {"a": 800_000})
    firm.reconcile(TUESDAY)
    assert firm.evaluate() == {}
    assert firm.findings(f"{LIFE}, business_date_seen") == [("household_aum_moved", MONDAY, None, MONDAY)]


def join(entity: str, copy: Ledgered, original: Ledgered, key: str) -> None:
    """Link a vendor's record to another vendor's, which represents it."""
    copy.database.do(
        "insert into warehouse.identity (entity, id, identity_id, recorded_from, source_run_id) values (:entity, :id, :other, now(), 'test')",
        entity=entity, id=copy.id_of(entity, key), other=original.id_of(entity, key),
    )  # fmt: skip


def test_an_account_that_moves_has_findings_at_the_vendor_of_its_original_only(
    new_vendor: Callable[[], Ledgered],
) -> None:
    """The firm moves from the first vendor to the second, which has the account too; then the first one drops it."""
    first, second = new_vendor(), new_vendor()
    for vendor in (first, second):
        vendor.day(FRIDAY, {"a": 500_000, "b": 500_000}, {"a": -50})
        vendor.reconcile(FRIDAY)
    join("household", second, first, "h1")
    for key in ("a", "b"):
        join("account", second, first, key)
    assert (first.evaluate(), second.evaluate()) == ({"negative_cash": Tally(found=1, opened=1)}, {})
    first.day(MONDAY, {"b": 500_000})
    second.day(MONDAY, {"a": 500_000, "b": 500_000}, {"a": -50})
    for vendor in (first, second):
        vendor.reconcile(MONDAY)
    first.database.do("delete from warehouse.identity where id = :id", id=second.id_of("account", "a"))
    join("account", first, second, "a")
    tallies = evaluate_all(first.engine, Policy(), "rules")
    assert [{rule: tally for rule, tally in tallies[vendor.vendor.name].items() if tally != Tally()} for vendor in (first, second)] == [
        {"negative_cash": Tally(closed=1)}, {"negative_cash": Tally(found=1, opened=1)},
    ]  # fmt: skip


def test_a_household_that_another_portfolio_system_lists_is_not_missing(new_vendor: Callable[[], Ledgered]) -> None:
    first, second = new_vendor(), new_vendor()
    for vendor in (first, second):
        vendor.day(FRIDAY, {"a": 1})
    first.load("household", [], FRIDAY)
    for vendor in (first, second):
        vendor.reconcile(FRIDAY)
    assert first.evaluate() == {"household_absent": Tally(found=1, opened=1)}
    join("household", second, first, "h1")
    assert first.evaluate() == {"household_absent": Tally(closed=1)}
    second.database.do("insert into control.unused_vendor (vendor) values (:vendor)", vendor=second.vendor.name)
    assert first.evaluate() == {"household_absent": Tally(found=1, opened=1)}


def test_findings_of_a_vendor_no_longer_used_close(firm: Ledgered) -> None:
    """Its last day never changes again, so nothing else would close them: neither those of a state, nor those of one day."""
    firm.day(FRIDAY, {"a": 1_000_000}, {"a": -50})
    firm.day(MONDAY, {"a": 800_000}, {"a": -50})
    firm.reconcile(MONDAY)
    firm.evaluate()
    firm.database.do("insert into control.unused_vendor (vendor) values (:vendor)", vendor=firm.vendor.name)
    assert firm.evaluate() == {"household_aum_moved": Tally(closed=1), "negative_cash": Tally(closed=1)}
    assert firm.evaluate() == {}
    firm.database.do("delete from control.unused_vendor where vendor = :vendor", vendor=firm.vendor.name)
    assert firm.evaluate()["negative_cash"] == Tally(found=1, opened=1)


def test_a_dead_letter_closes_no_finding_of_its_account(firm: Ledgered) -> None:
    firm.day(FRIDAY, {"a": 100_000, "b": 100_000}, {"a": -50, "b": -50})
    firm.reconcile(FRIDAY)
    firm.evaluate()
    firm.day(MONDAY, {"a": None, "b": 100_000})
    dead = [
        {"account_value_key": "b", "account_key": "b", "market_value_usd": Decimal(100_000), "cash_usd": Decimal(0)}
    ]
    firm.load("account_value", dead, MONDAY, dead=[dead_letter("account_value", "a", parent="a")])
    firm.reconcile(MONDAY)
    assert firm.evaluate()["negative_cash"] == Tally(closed=1)
    still = firm.findings("subject_id, closed_at is null, rule")
    assert (firm.id_of("account", "a"), True, "negative_cash") in still
    assert (firm.id_of("account", "b"), False, "negative_cash") in still


def test_a_rule_that_raises_fails_by_name_and_the_others_settle(firm: Ledgered) -> None:
    firm.day(FRIDAY, {"a": 100_000}, {"a": -50})
    firm.reconcile(FRIDAY)
    # A threshold too large for the rule's decimals; `Policy.of` would reject it.
    policy = Policy(share_tolerance_ratio=Decimal("0.000000001"))
    with pytest.raises(
        FatalError, match=r"the findings of all others are settled \[rules=account_unowned \(Arrow"
    ) as error:
        firm.evaluate(policy)
    assert error.value.__cause__ is None  # its text may quote a client's figures
    assert firm.findings() == [("negative_cash",)]


def test_every_rule_has_a_unique_name_and_a_documented_policy() -> None:
    assert len({rule.name for rule in RULES}) == len(RULES)
    for rule in RULES:
        words = rule.evaluate.__doc__ or ""
        assert all(f"{word}: " in words for word in ("What", "Why", "Threshold", "Measure", "Closes")), rule.name
        assert (rule.task_subject is None) == (rule.due_days == 0)


def test_task_subjects_fit_salesforce() -> None:
    subjects = [rule.task_subject for rule in (*RULES, *HOUSEHOLD_RULES) if rule.task_subject]
    assert max(len(subject) for subject in subjects) <= 255
