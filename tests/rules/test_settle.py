"""The life of a finding: one record while its cause lasts, closed with it, and a new one if the cause returns."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
import sqlalchemy as sa

from include.control import findings
from include.control.findings import Look, Tally
from include.rules.evaluation import FOUND
from include.rules.snapshot import SILENT
from tests.rules.conftest import FRIDAY, MONDAY, TUESDAY, Ledgered

RULES = {"cash": 0, "move": 5}
WEDNESDAY = date(2026, 11, 25)
LATE = date(2026, 12, 1)


def look(firm: Ledgered, day: date, *, hour: int = 6, run_id: str = "run") -> Look:
    return Look(firm.vendor.name, day, datetime.combine(day, datetime.min.time(), UTC) + timedelta(hours=hour), run_id)


def finding(
    rule: str = "cash", subject: int = 1, measure: Any = 100, details: str = "Cash is $100.00.", **more: Any
) -> Any:
    return {
        "rule": rule, "severity": "info", "subject_entity": "account", "subject_id": subject, "household_id": 5,
        "representative_id": 7, "measure": Decimal(measure), "details": details,
    } | more  # fmt: skip


def settle(
    firm: Ledgered, at: Look, *candidates: Mapping[str, Any], rules: Mapping[str, int] = RULES, silent: Any = ()
) -> dict[str, Tally]:
    rows = pa.Table.from_pylist([dict(row) for row in candidates], schema=FOUND)
    quiet = pa.Table.from_pylist([{"subject_entity": "account", "subject_id": n} for n in silent], schema=SILENT)
    with firm.engine.begin() as connection:
        tallies = findings.settle(connection, at, rules, rows, quiet)
    return {rule: tally for rule, tally in tallies.items() if tally != Tally()}


LIFE = "subject_id, business_date_opened, business_date_seen, business_date_closed"
EVERYTHING = "*, xmin::text"


def test_a_finding_is_one_record_however_often_it_is_seen(firm: Ledgered) -> None:
    assert settle(firm, look(firm, FRIDAY), finding()) == {"cash": Tally(found=1, opened=1)}
    assert settle(firm, look(firm, MONDAY), finding()) == {"cash": Tally(found=1, seen=1)}
    assert settle(firm, look(firm, TUESDAY), finding()) == {"cash": Tally(found=1, seen=1)}
    assert firm.findings(LIFE) == [(1, FRIDAY, TUESDAY, None)]


def test_settling_the_same_again_writes_nothing(firm: Ledgered) -> None:
    settle(firm, look(firm, FRIDAY), finding(), finding("move"))
    before = firm.findings(EVERYTHING)
    assert settle(firm, look(firm, FRIDAY, hour=7, run_id="again"), finding(), finding("move")) == {
        "cash": Tally(found=1, seen=1), "move": Tally(found=1, seen=1),
    }  # fmt: skip
    assert firm.findings(EVERYTHING) == before


def test_it_closes_when_its_cause_ends_and_another_opens_when_it_is_back(firm: Ledgered) -> None:
    settle(firm, look(firm, FRIDAY), finding(), finding(subject=2))
    assert settle(firm, look(firm, MONDAY, run_id="monday"), finding(subject=2)) == {
        "cash": Tally(found=1, seen=1, closed=1)
    }
    settle(firm, look(firm, TUESDAY), finding(), finding(subject=2))
    assert firm.findings(LIFE) == [(1, FRIDAY, FRIDAY, MONDAY), (2, FRIDAY, TUESDAY, None), (1, TUESDAY, TUESDAY, None)]
    assert firm.findings("closed_run_id, closed_at is not null") == [("monday", True), (None, False), (None, False)]


def test_what_happens_and_is_over_stays_open_for_its_days(firm: Ledgered) -> None:
    settle(firm, look(firm, FRIDAY), finding("move"))
    assert settle(firm, look(firm, WEDNESDAY)) == {}  # five days later, to the day
    assert settle(firm, look(firm, WEDNESDAY + timedelta(days=1))) == {"move": Tally(closed=1)}
    assert firm.findings(LIFE) == [(1, FRIDAY, FRIDAY, WEDNESDAY + timedelta(days=1))]


def test_what_a_later_look_at_the_same_day_lacks_was_a_mistake(firm: Ledgered) -> None:
    settle(firm, look(firm, FRIDAY), finding("move"))
    assert settle(firm, look(firm, FRIDAY, hour=7)) == {"move": Tally(closed=1)}


@pytest.mark.parametrize(
    ("change", "is_changed"),
    [
        ({"measure": Decimal(110), "details": "Cash is $110.00."}, False),
        ({"measure": Decimal("110.01"), "details": "Cash is $110.01."}, True),
        ({"measure": Decimal("89.99"), "details": "Cash is $89.99."}, True),
        ({"details": "Cash is $1,000.00."}, False),
        ({"details": "Money is $100.00."}, True),
        ({"representative_id": 8}, True),
        ({"household_id": None}, True),
        ({"severity": "critical"}, True),
    ],
)
def test_only_significant_changes_are_reported_again(firm: Ledgered, change: dict[str, Any], is_changed: bool) -> None:
    columns = "household_id, representative_id, severity, measure, details, changed_at"
    settle(firm, look(firm, FRIDAY), finding())
    before = firm.findings(columns)
    tally = settle(firm, look(firm, MONDAY), finding(**change))["cash"]
    assert (tally.changed, firm.findings(columns) != before) == (int(is_changed), is_changed)
    assert firm.findings("count(*) over ()") == [(1,)]


def test_small_steps_add_up_to_a_change(firm: Ledgered) -> None:
    settle(firm, look(firm, FRIDAY), finding(measure=100))
    assert settle(firm, look(firm, MONDAY), finding(measure=108))["cash"].changed == 0
    assert settle(firm, look(firm, TUESDAY), finding(measure=112))["cash"].changed == 1
    assert firm.findings("measure") == [(Decimal(112),)]


def test_an_older_day_neither_opens_nor_closes(firm: Ledgered) -> None:
    settle(firm, look(firm, MONDAY), finding())
    before = firm.findings(EVERYTHING)
    assert settle(firm, look(firm, FRIDAY, hour=99), finding(subject=2)) == {}
    assert firm.findings(EVERYTHING) == before


def test_an_older_look_at_the_same_day_neither_opens_nor_closes(firm: Ledgered) -> None:
    settle(firm, look(firm, MONDAY, hour=7), finding())
    assert settle(firm, look(firm, MONDAY, hour=6), finding(subject=2)) == {}
    assert firm.findings(LIFE) == [(1, MONDAY, MONDAY, None)]


def test_a_rule_that_was_not_evaluated_closes_nothing(firm: Ledgered) -> None:
    settle(firm, look(firm, FRIDAY), finding(), finding("move"))
    settle(firm, look(firm, LATE), rules={"cash": 0})
    assert firm.findings("rule, closed_at is null") == [("cash", False), ("move", True)]


def test_one_vendor_never_closes_findings_of_another(firm: Ledgered) -> None:
    settle(firm, look(firm, FRIDAY), finding())
    settle(firm, replace(look(firm, MONDAY), vendor=f"not {firm.vendor.name}"))
    assert firm.findings("closed_at") == [(None,)]


def test_of_a_silent_subject_nothing_is_opened_or_closed(firm: Ledgered) -> None:
    settle(firm, look(firm, FRIDAY), finding(subject=1), finding(subject=2))
    assert settle(firm, look(firm, MONDAY), finding(subject=3), finding(subject=4), silent=[1, 3]) == {
        "cash": Tally(found=1, opened=1, closed=1)
    }
    assert firm.findings("subject_id, closed_at is null") == [(1, True), (2, False), (4, True)]


def test_a_dead_letter_without_a_subject_prevents_closing(firm: Ledgered) -> None:
    settle(firm, look(firm, FRIDAY), finding(subject=1))
    assert settle(firm, look(firm, MONDAY), finding(subject=2), silent=[None]) == {"cash": Tally(found=1, opened=1)}
    assert firm.findings("subject_id, closed_at") == [(1, None), (2, None)]


def test_nothing_remains_of_a_run_that_is_killed(firm: Ledgered) -> None:
    settle(firm, look(firm, FRIDAY), finding())
    before = firm.findings(EVERYTHING)
    rows = pa.Table.from_pylist([finding(subject=2)], schema=FOUND)
    with firm.engine.connect() as connection:
        findings.settle(connection, look(firm, MONDAY), RULES, rows, SILENT.empty_table())
        connection.rollback()
    assert firm.findings(EVERYTHING) == before
    assert settle(firm, look(firm, FRIDAY, hour=8), finding()) == {"cash": Tally(found=1, seen=1)}


def test_two_runs_at_once_leave_one_record_and_the_later_look_wins(firm: Ledgered) -> None:
    later, older = look(firm, MONDAY, hour=7, run_id="later"), look(firm, MONDAY, hour=6, run_id="older")
    rows = [pa.Table.from_pylist([finding(subject=n)], schema=FOUND) for n in (1, 2)]
    outcomes: list[Any] = []

    def settle_older() -> None:
        with firm.engine.begin() as connection:
            outcomes.append(findings.settle(connection, older, RULES, rows[1], SILENT.empty_table()))

    with firm.engine.begin() as connection:
        findings.settle(connection, later, RULES, rows[0], SILENT.empty_table())
        other = threading.Thread(target=settle_older)
        other.start()
        other.join(0.5)
        assert other.is_alive(), "the second run must wait for the first"
    other.join(20)
    assert outcomes == [{}]
    assert firm.findings("subject_id, opened_run_id") == [(1, "later")]


def test_the_database_refuses_a_second_open_finding(firm: Ledgered) -> None:
    settle(firm, look(firm, FRIDAY), finding())
    copy = """
    insert into control.finding (vendor, rule, subject_entity, subject_id, severity, measure, details, business_date_opened,
                                 opened_run_id, business_date_seen, seen_run_id)
    select vendor, rule, subject_entity, subject_id, severity, measure, details, business_date_opened, opened_run_id,
           business_date_seen, seen_run_id from control.finding where vendor = :vendor
    """
    with pytest.raises(sa.exc.IntegrityError, match="finding_open"), firm.engine.begin() as connection:
        connection.execute(sa.text(copy), {"vendor": firm.vendor.name})
