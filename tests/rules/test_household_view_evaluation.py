"""Rules of planning and risk over real rows of several vendors, from the warehouse to the findings."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from include.control.findings import Tally
from include.rules import HOUSEHOLD_RULES, RULES
from include.rules.evaluation import evaluate_all
from include.rules.household_view import HouseholdView, read_household_view
from include.rules.policy import Policy
from tests.conftest import Database
from tests.rules.conftest import FRIDAY, MONDAY, Ledgered
from tests.warehouse.loading import dead_letter

LIFE = "rule, business_date_opened, business_date_closed"
NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


class Office:
    """A portfolio system and a planner that share a household, and a risk vendor that shares its person."""

    def __init__(self, database: Database, folder: Path) -> None:
        self.database = database
        self.portfolio, self.planner, self.risk = (
            Ledgered(database, folder, name) for name in ("pms", "plans", "risks")
        )
        self.vendors = (self.portfolio, self.planner, self.risk)
        self.load_people(FRIDAY)
        self.join("household", self.planner, self.portfolio, "h1")
        self.join("person", self.planner, self.portfolio, "p1")
        self.join("person", self.risk, self.portfolio, "p1")

    def load_people(self, day: date) -> None:
        """Load p1 at all vendors, and at two of them the household, whose representative is the portfolio system's."""
        self.portfolio.load("representative", [{"representative_key": "r1", "name": "Rep Sample"}], day)
        for vendor in (self.portfolio, self.planner):
            home = {"household_key": "h1", "name": "Family Sample", "representative_key": "r1"}
            vendor.load("household", [home], day)
        born = {"person_key": "p1", "name": "Ada Sample", "household_key": "h1", "birth_date": date(1951, 3, 4)}
        self.portfolio.load("person", [born], day)
        self.planner.load("person", [born], day)
        self.risk.load("person", [{"person_key": "p1", "name": "Ada Sample"}], day)

    def join(self, entity: str, vendor: Ledgered, to: Ledgered, key: str, own_key: str = "") -> None:
        """Link a vendor's record to another vendor's."""
        of = "account" if entity == "outside_account" else entity
        self.database.do(
            """
            insert into warehouse.identity (entity, id, identity_id, recorded_from, source_run_id)
            values (:entity, :id, :other, now(), 'test')
            """,
            entity=of, id=vendor.id_of(entity, own_key or key), other=to.id_of(of, key),
        )  # fmt: skip

    def plan(self, day: date, ratio: str, changed: date = date(2026, 6, 1), **more: Any) -> None:
        """Load a base plan and its result on a day."""
        plan = {"plan_key": "n1", "household_key": "h1", "name": "Base", "is_base": True, "updated_on": changed}
        self.planner.load("plan", [plan | more], day)
        result = {"plan_result_key": f"n1:{day}", "plan_key": "n1", "household_key": "h1", "scenario": "current",
                  "probability_ratio": Decimal(ratio), "computed_on": day, "computed_at": NOON}  # fmt: skip
        self.planner.load("plan_result", [result], day)

    def numbers(self, day: date, client: int, portfolio: int) -> None:
        """Load the risk numbers of the person and of her portfolio."""
        dated = {"measured_on": day, "measured_at": NOON}
        self.risk.load("portfolio", [{"portfolio_key": "f1", "person_key": "p1", "portfolio_type": "current"}], day)
        self.risk.load(
            "client_risk", [{"client_risk_key": f"p1:{day}", "person_key": "p1", "risk_number": client} | dated], day
        )
        risk = {"portfolio_risk_key": f"f1:{day}", "portfolio_key": "f1", "risk_number": portfolio}
        self.risk.load("portfolio_risk", [risk | dated], day)

    def evaluate(self, day: date, *, policy: Policy = Policy()) -> dict[str, Tally]:  # noqa: B008
        """Reconcile the day of all vendors and run the rules; return the tallies of the portfolio system."""
        for vendor in self.vendors:
            vendor.reconcile(day)
        tallies = evaluate_all(self.portfolio.engine, policy, "rules").get("pms", {})
        return {rule: tally for rule, tally in tallies.items() if tally != Tally()}

    def view(self) -> HouseholdView | None:
        with self.portfolio.engine.connect() as connection:
            return read_household_view(connection)


@pytest.fixture
def office(database: Database, tmp_path: Path) -> Iterator[Office]:
    office = Office(database, tmp_path)
    yield office
    for vendor in office.vendors:
        vendor.engine.dispose()


def test_a_finding_belongs_to_the_representing_record(office: Office) -> None:
    office.numbers(FRIDAY, 45, 62)
    assert office.evaluate(FRIDAY) == {"risk_misaligned": Tally(found=1, opened=1)}
    columns = "subject_entity, subject_id, household_id, representative_id, severity, measure, details"
    assert office.portfolio.findings(columns) == [
        ("person", office.portfolio.id_of("person", "p1"), office.portfolio.id_of("household", "h1"),
         office.portfolio.id_of("representative", "r1"), "warning", Decimal(17),
         "The portfolio's risk number is 62, 17 points above the client's 45."),
    ]  # fmt: skip


def test_it_closes_when_they_are_aligned_again_and_stays_as_history(office: Office) -> None:
    office.numbers(FRIDAY, 45, 62)
    office.evaluate(FRIDAY)
    office.numbers(MONDAY, 55, 62)
    assert office.evaluate(MONDAY) == {"risk_misaligned": Tally(closed=1)}
    assert office.portfolio.findings(LIFE) == [("risk_misaligned", FRIDAY, MONDAY)]


def test_the_same_view_again_changes_nothing(office: Office) -> None:
    office.numbers(FRIDAY, 45, 62)
    office.evaluate(FRIDAY)
    before = office.portfolio.findings("*, xmin::text")
    assert office.evaluate(FRIDAY) == {"risk_misaligned": Tally(found=1, seen=1)}
    assert office.portfolio.findings("*, xmin::text") == before


def test_while_one_vendor_is_not_reconciled_the_view_is_not_evaluated(office: Office) -> None:
    office.numbers(FRIDAY, 45, 62)
    office.evaluate(FRIDAY)
    office.numbers(MONDAY, 55, 62)
    assert office.view() is None
    assert evaluate_all(office.portfolio.engine, Policy(), "rules") == {}
    assert office.portfolio.findings(LIFE) == [("risk_misaligned", FRIDAY, None)]


def test_a_vendor_that_does_not_add_up_silences_the_household_view(office: Office) -> None:
    office.numbers(FRIDAY, 45, 62)
    for vendor in office.vendors:
        vendor.reconcile(FRIDAY, is_passed=vendor is not office.planner)
    assert office.view() is None


def test_a_plan_that_fell_is_found_in_its_history(office: Office) -> None:
    office.plan(date(2026, 10, 1), "0.92")
    office.plan(FRIDAY, "0.81")
    assert office.evaluate(FRIDAY) == {"goal_at_risk": Tally(found=1, opened=1)}
    assert office.portfolio.findings("subject_entity, measure, details") == [
        ("household", Decimal("81.0"), "The plan: probability of success 81.0%, down from 92.0% within 92 days."),
    ]  # fmt: skip


def test_a_dead_letter_of_a_plan_changes_no_finding_of_its_household(office: Office) -> None:
    office.plan(FRIDAY, "0.50")
    office.evaluate(FRIDAY)
    office.plan(MONDAY, "0.90")
    office.planner.load("plan", [], MONDAY, dead=["n1"])
    assert office.evaluate(MONDAY) == {}
    assert office.portfolio.findings(LIFE) == [("goal_at_risk", FRIDAY, None)]


def test_a_dead_letter_of_an_unknown_subject_closes_no_finding(office: Office) -> None:
    office.plan(FRIDAY, "0.50")
    office.evaluate(FRIDAY)
    office.plan(MONDAY, "0.90")
    office.planner.load("goal", [], MONDAY, dead=["never seen"])
    assert office.evaluate(MONDAY) == {}
    assert office.portfolio.findings(LIFE) == [("goal_at_risk", FRIDAY, None)]


def test_a_dead_letter_of_a_result_changes_no_finding_of_its_household(office: Office) -> None:
    office.plan(FRIDAY, "0.50")
    office.evaluate(FRIDAY)
    office.plan(MONDAY, "0.90")
    unreadable = dead_letter("plan_result", "unknown:2026-11-23", parent="h1")
    office.planner.load("plan_result", [], MONDAY, dead=[unreadable])
    assert office.evaluate(MONDAY) == {}
    assert office.portfolio.findings(LIFE) == [("goal_at_risk", FRIDAY, None)]


def test_a_finding_moves_with_the_households_representing_record(office: Office) -> None:
    office.plan(FRIDAY, "0.50")
    office.evaluate(FRIDAY)
    office.database.do("update warehouse.identity set recorded_to = now() where entity = 'household'")
    office.evaluate(FRIDAY)
    assert office.portfolio.findings("rule, closed_at is null") == [("goal_at_risk", False)]
    assert office.planner.findings("rule, closed_at is null") == [("goal_at_risk", True)]


def test_assets_count_once_and_what_is_held_away_is_left_out(office: Office) -> None:
    office.portfolio.day(FRIDAY, {"a": 100_000}, a={"household_key": "h1"})
    listed = [{"outside_account_key": key, "household_key": "h1"} for key in ("copy", "away")]
    office.planner.load("outside_account", listed, FRIDAY)
    worth = {"copy": 60_000, "away": 900_000}
    office.planner.load(
        "outside_value",
        [{"outside_value_key": f"{key}:1", "outside_account_key": key, "market_value_usd": Decimal(usd),
          "requested_on": FRIDAY, "requested_at": NOON} for key, usd in worth.items()],
        FRIDAY,
    )  # fmt: skip
    office.join("outside_account", office.planner, office.portfolio, "a", "copy")
    assert office.evaluate(FRIDAY)["plan_assets_apart"] == Tally(found=1, opened=1)
    assert office.portfolio.findings("measure") == [(Decimal(-40_000),)]


def test_an_owner_beyond_the_age_with_an_old_plan_is_found(office: Office) -> None:
    office.portfolio.day(FRIDAY, {"a": 100_000}, a={"account_type": "IRA Rollover"})
    owner = {"account_owner_key": "a:p1", "account_key": "a", "household_key": "h1", "person_key": "p1",
             "share_ratio": Decimal(1)}  # fmt: skip
    office.portfolio.load("account_owner", [owner], FRIDAY)
    office.plan(FRIDAY, "0.90", changed=date(2022, 5, 6))
    office.evaluate(FRIDAY)
    assert (
        "Minimum distributions are required since 2024 from accounts worth $100,000.00; the last plan change was on 2022-05-06.",
    ) in (office.portfolio.findings("details"))
    office.plan(MONDAY, "0.90", changed=date(2024, 2, 3))
    office.portfolio.reconcile(MONDAY)
    assert office.evaluate(MONDAY)["rmd_unplanned"] == Tally(closed=1)


def load_envelopes(office: Office, *envelopes: dict[str, Any]) -> None:
    sent = {
        "purpose": "account opening",
        "household_reference": "pms:household:h1",
        "created_on": FRIDAY,
        "changed_at": NOON,
    }
    office.planner.load("envelope", [sent | each for each in envelopes], FRIDAY)


@pytest.mark.parametrize(
    ("minutes", "purpose", "is_replaced"),
    [
        (-1, "account opening", False),
        (1, "account opening", True),
        (1, "Account Opening ", True),  # the next vendor, or a person, writes it in another way
        (1, "asset transfer", False),
    ],
)
def test_an_envelope_that_is_sent_again_on_the_day_it_ended_is_replaced(
    office: Office, minutes: int, purpose: str, is_replaced: bool
) -> None:
    declined = {
        "envelope_key": "e1",
        "status": "declined",
        "is_final": True,
        "sent_at": NOON - timedelta(hours=2),
        "ended_at": NOON,
    }
    again = {
        "envelope_key": "e2",
        "status": "sent",
        "is_final": False,
        "sent_at": NOON + timedelta(minutes=minutes),
        "purpose": purpose,
    }
    office.portfolio.day(FRIDAY, {"a": 1})
    load_envelopes(office, declined, again)
    tally = Tally() if is_replaced else Tally(found=1, opened=1)
    assert office.evaluate(FRIDAY).get("envelope_ended", Tally()) == tally


@pytest.mark.parametrize(("subject", "is_replaced"), [("Wire form", True), ("Address change", False), (None, False)])
def test_an_envelope_without_a_purpose_is_replaced_by_one_of_its_subject(
    office: Office, subject: str | None, is_replaced: bool
) -> None:
    ended = {"status": "voided", "is_final": True, "sent_at": NOON - timedelta(hours=2), "ended_at": NOON}
    again = {"status": "sent", "is_final": False, "sent_at": NOON + timedelta(hours=1)}
    no_purpose = {"purpose": None, "subject": subject}
    office.portfolio.day(FRIDAY, {"a": 1})
    load_envelopes(
        office,
        ended | no_purpose | {"envelope_key": "e1", "subject": subject and "Wire form"},
        again | no_purpose | {"envelope_key": "e2"},
    )
    assert ("envelope_ended" not in office.evaluate(FRIDAY)) is is_replaced


def test_an_envelope_is_sent_on_a_day_of_new_york(office: Office) -> None:
    """20:30 there is the next day in UTC; the account was opened on the evening on which the papers were sent."""
    evening = datetime(2026, 11, 3, 1, 30, tzinfo=UTC)
    office.portfolio.day(FRIDAY, {"a": 1}, a={"open_date": date(2026, 11, 2)})
    signed = {
        "envelope_key": "e1",
        "status": "completed",
        "is_final": True,
        "sent_at": evening,
        "completed_at": evening,
    }
    load_envelopes(office, signed)
    assert "account_unopened" not in office.evaluate(FRIDAY)


def test_account_that_moved_to_another_vendor_still_requires_distributions(office: Office) -> None:
    """Of two records of one account, the one that is open with a value counts."""
    owner = {"account_owner_key": "a:p1", "account_key": "a", "household_key": "h1", "person_key": "p1",
             "share_ratio": Decimal(1)}  # fmt: skip
    for vendor, usd in ((office.portfolio, 100_000), (office.planner, 99_000)):
        vendor.day(FRIDAY, {"a": usd}, a={"account_type": "IRA Rollover"})
        vendor.load("account_owner", [owner], FRIDAY)
    office.join("account", office.planner, office.portfolio, "a")
    office.plan(FRIDAY, "0.90", changed=date(2022, 5, 6))
    office.evaluate(FRIDAY)
    found = "select subject_id, measure from control.finding where rule = 'rmd_unplanned' and closed_at is null"
    [before] = office.portfolio.rows(found)
    assert before["measure"] == Decimal(100_000)
    closed = {"account_type": "IRA Rollover", "is_active": False, "close_date": MONDAY}
    office.portfolio.day(MONDAY, {"a": 0}, a=closed)
    office.planner.day(MONDAY, {"a": 99_000}, a={"account_type": "IRA Rollover"})
    for vendor in (office.portfolio, office.planner):
        vendor.load("account_owner", [owner], MONDAY)
    office.evaluate(MONDAY)
    assert office.portfolio.rows(found) == [before]  # still open; a change within a tenth is not recorded


def stop_using(office: Office, vendor: Ledgered) -> None:
    office.database.do("insert into control.unused_vendor (vendor) values (:vendor)", vendor=vendor.vendor.name)


def test_findings_on_data_of_a_vendor_no_longer_used_close(office: Office) -> None:
    """The plan, its assets, the policies, the risk numbers and the open envelopes stay as they are, and no advisor can change them."""
    office.portfolio.day(FRIDAY, {"a": 100_000})
    office.plan(FRIDAY, "0.50", changed=date(2024, 6, 1))
    office.planner.load("outside_account", [{"outside_account_key": "x", "household_key": "h1"}], FRIDAY)
    worth = {
        "outside_value_key": "x:1",
        "outside_account_key": "x",
        "market_value_usd": Decimal(1),
        "requested_on": FRIDAY,
    }
    office.planner.load("outside_value", [worth | {"requested_at": NOON}], FRIDAY)
    policy = {"insurance_policy_key": "i1", "household_key": "h1", "death_benefit_usd": Decimal(9), "beneficiaries": 0}
    office.planner.load("insurance_policy", [policy], FRIDAY)
    sent = {"envelope_key": "e1", "status": "sent", "is_final": False, "sent_at": NOON - timedelta(days=30)}
    load_envelopes(office, sent)
    office.numbers(FRIDAY, 45, 62)
    office.evaluate(FRIDAY)
    stays = {"plan_old"}
    closes = {"goal_at_risk", "plan_assets_apart", "beneficiary_missing", "envelope_waiting", "risk_misaligned"}
    assert {rule for (rule,) in office.portfolio.findings()} == stays | closes
    stop_using(office, office.planner)
    stop_using(office, office.risk)
    closed = {rule for rule, tally in office.evaluate(FRIDAY).items() if tally.closed}
    assert closed == closes


def test_a_dead_letter_of_a_vendor_no_longer_used_keeps_no_finding_open(office: Office) -> None:
    office.numbers(FRIDAY, 45, 62)
    office.planner.load("goal", [], FRIDAY, dead=["never seen"])
    office.evaluate(FRIDAY)
    office.numbers(MONDAY, 55, 62)
    stop_using(office, office.planner)
    assert office.evaluate(MONDAY) == {"risk_misaligned": Tally(closed=1)}


def test_an_account_that_moved_to_another_vendor_is_not_opened_again(office: Office) -> None:
    """The vendor to which the firm moved states no opening date, and was connected after the papers were signed."""
    opened = {"open_date": date(2010, 1, 2)}
    office.portfolio.day(FRIDAY, {"a": 1}, a=opened)
    office.planner.day(FRIDAY, {"a": 1}, a={"open_date": None})
    office.join("account", office.planner, office.portfolio, "a")
    signed = NOON - timedelta(days=30)
    load_envelopes(
        office,
        {"envelope_key": "e1", "status": "completed", "is_final": True, "sent_at": signed, "completed_at": signed},
    )
    assert office.evaluate(FRIDAY)["account_unopened"] == Tally(found=1, opened=1)


def test_account_that_its_vendor_lists_under_another_key_requires_distributions_once(office: Office) -> None:
    for day, key in ((FRIDAY, "old"), (MONDAY, "new")):
        office.portfolio.day(day, {key: 100_000}, **{key: {"account_type": "IRA Rollover"}})
        owner = {"account_owner_key": f"{key}:p1", "account_key": key, "household_key": "h1", "person_key": "p1"}
        office.portfolio.load("account_owner", [owner | {"share_ratio": Decimal(1)}], day)
        office.plan(day, "0.90", changed=date(2022, 5, 6))
        office.evaluate(day)
    [found] = office.portfolio.rows(
        "select measure from control.finding where rule = 'rmd_unplanned' and closed_at is null"
    )
    assert found["measure"] == 100_000


def test_every_rule_has_a_unique_name_and_a_documented_policy() -> None:
    assert len({rule.name for rule in (*RULES, *HOUSEHOLD_RULES)}) == len(RULES) + len(HOUSEHOLD_RULES)
    for rule in HOUSEHOLD_RULES:
        words = rule.evaluate.__doc__ or ""
        assert all(f"{word}: " in words for word in ("What", "Why", "Threshold", "Measure", "Closes")), rule.name
        assert rule.task_subject
        assert rule.due_days
