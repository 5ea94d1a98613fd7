"""A firm's days with trades, moves, closings and corrections: after each, Salesforce equals the warehouse.

Five days, or twenty in the long tests. `crm_truth` computes the expected records, `org_reading` reads the actual ones;
the org's own timestamps show which rows were sent.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from include import business_dates
from include.control.ledger import Counts
from include.crm import tasks
from include.crm.run import SyncRun
from include.crm.sync.readback import ReadBackCounts, read_back
from include.rules import RULES
from include.rules.evaluation import evaluate_all
from include.rules.policy import Policy
from include.vendors import named
from local.postgres import Postgres
from tests.conftest import Firm, new_database
from tests.crm.conftest import SECRET, Crm
from tests.integration.crm_truth import PREFIX, Records, Truth, expect, expect_tasks, find_changed
from tests.integration.crm_truth_managed import MANAGED
from tests.integration.crm_truth_plain import PLAIN
from tests.integration.crm_truth_standard import STANDARD
from tests.integration.org_reading import Org, find_differences
from tests.running_sandbox import run_sandbox

pytestmark = pytest.mark.timeout(900)

MONTH = business_dates.list_trading_days(date(2026, 10, 21), date(2026, 11, 18))
WEEK = MONTH[-6:]
assert (len(MONTH), len(WEEK)) == (21, 6)

# Tight thresholds, so that a small firm has findings that open and close.
POLICY = Policy.of({"aum_move_percent": 1, "aum_move_floor_usd": 1000, "large_flow_floor_usd": 500, "large_flow_percent": 1,
                    "excess_cash_floor_usd": 1000, "excess_cash_percent": 3, "flow_review_days": 3})  # fmt: skip
SPECS = {rule.name: tasks.TaskSpec(rule.task_subject, rule.due_days) for rule in RULES if rule.task_subject}
NAMES = ['The "Sample", Renamed', "Sämple Ægir 家", "  Sample of spaces  ", "O'Sample; 100%", "Sample " * 28, "x,\ty"]


@dataclass
class Step:
    """One sync and its observed result."""

    day: date
    expected: dict[str, Records]
    differing: dict[str, Any]
    changed: dict[str, set[str]]
    moved: dict[str, set[str]]
    counts: dict[str, Counts]
    differing_tasks: list[Any]


@dataclass
class Month:
    """A firm and its org, evening after evening."""

    firm: Firm
    crm: Crm
    org: Org
    truth: Truth
    steps: list[Step] = field(default_factory=list)
    known: dict[str, Records] = field(default_factory=dict)
    known_tasks: Records = field(default_factory=dict)
    stamps: dict[str, dict[str, str]] = field(default_factory=dict)
    used: set[int] = field(default_factory=set)

    def set_clock(self, moment: datetime) -> None:
        self.firm.sandbox.admin("clock", now=moment.isoformat())
        self.firm.now += moment - self.firm.clock()
        self.firm.sandbox.log_in()
        self.org.log_in()

    def run(self, day: date, most_collected: int) -> None:
        """Run an evening: the vendor's day, the rules, the records, the Tasks; then compare all of it."""
        self.firm.day(day)
        evaluate_all(self.firm.engine, POLICY, f"rules-{len(self.steps)}")
        settings = self.truth.settings
        counts = self.crm.sync(business_date=day, settings=replace(settings, most_collected=most_collected))
        subjects = {name: spec.subject for name, spec in SPECS.items()}
        tasks.sync(replace(self.crm.org, settings=settings), SyncRun(f"tasks-{len(self.steps)}", day), SPECS)
        expected = expect(self.firm.database, day, self.known, self.truth)
        self.known_tasks = expect_tasks(self.firm.database, day, subjects, self.known_tasks)
        differing, moved, ids = self.look(expected)
        fresh = {name: find_changed(self.known.get(name, {}), records) for name, records in expected.items()}
        self.known = expected
        self.steps.append(Step(day, expected, differing, fresh, moved, counts, self.look_at_tasks(ids)))

    def look(self, expected: dict[str, Records]) -> tuple[dict[str, Any], dict[str, set[str]], dict[str, str]]:
        """Return the differences by kind, the records written since the last look, and every record's id by key."""
        differing: dict[str, Any] = {}
        moved: dict[str, set[str]] = {}
        ids: dict[str, str] = {}
        for name, kind in self.truth.kinds.items():
            fields = next((list(record) for record in expected[name].values()), [])
            records = self.org.read_ours(kind.sobject, fields, f"{PREFIX}:{kind.entity}")
            if differing_fields := find_differences(expected[name], records):
                differing[name] = differing_fields
            before, self.stamps[name] = self.stamps.get(name, {}), {k: r["SystemModstamp"] for k, r in records.items()}
            moved[name] = {key for key, stamp in self.stamps[name].items() if before.get(key) != stamp}
            ids |= {key: row["Id"] for key, row in records.items() if name != "contact"}
        return differing, moved, ids

    def look_at_tasks(self, ids: dict[str, str]) -> list[Any]:
        records = self.org.read_ours("Task", ["Subject", "Status", "Priority", "WhatId"], f"{PREFIX}:finding")
        expected = {
            key: {name: value for name, value in task.items() if name != "What"} | {"WhatId": ids.get(task["What"])}
            for key, task in self.known_tasks.items()
        }
        return find_differences(expected, records)

    def stated_positions(self, day: date) -> set[str]:
        """Return the keys of positions that the vendor stated on a day, even without units."""
        return {f"{PREFIX}:position:{key}" for key in self.firm.held(day)}

    def list_values(self, kind: str, name: str) -> list[list[Any]]:
        """Return a field's values in order, for each record in which it changed after the first step."""
        values = (
            [s.expected[kind][key].get(name) for s in self.steps if key in s.expected[kind]] for key in self.known[kind]
        )
        return [each for each in values if any(value != each[0] for value in each)]


def distinct(values: list[Any]) -> list[Any]:
    """Remove values that repeat the previous one."""
    return [value for value, before in zip(values, [object(), *values], strict=False) if value != before]


def edit(month: Month, day: date, number: int) -> None:
    """Make a day's edits in the vendor's system."""
    accounts = month.firm.sandbox.rows("Portfolio/Accounts")
    live = [account for account in accounts if account["isActive"] and account["sleeveType"] == "None"]
    correct_trades(month, {account["id"] for account in live}, number)
    move_and_close(month, live, day, number)
    describe_anew(month, live[-1]["id"], number)
    correct_price(month, day, number)


def correct_trades(month: Month, live: set[int], number: int) -> None:
    """Reverse the latest buy, correct the next one, and reverse the only buy of a holding."""
    sandbox, used = month.firm.sandbox, month.used
    trades = sorted(sandbox.rows("Portfolio/Transactions"), key=lambda t: (t["transDate"], t["id"]), reverse=True)
    trades = [t for t in trades if t["status"] == "Complete"]
    buys = [t for t in trades if t["typeCode"] == "BUY" and t["accountId"] in live]
    reverse, correct = [t["id"] for t in buys if t["id"] not in used][:2]
    counts = Counter(t["assetId"] for t in trades)
    # Without that buy the vendor no longer states the holding, not even an empty one.
    only = [t["id"] for t in buys if counts[t["assetId"]] == 1 and t["id"] not in (reverse, correct)]
    for each in [reverse, *only[:1]]:
        sandbox.admin("orion/reverse_transaction", transaction_id=each)
    sandbox.admin("orion/correct_transaction", transaction_id=correct, quantity=3 + number, price="10.0625")
    used |= {reverse, correct, *only[:1]}


def move_and_close(month: Month, live: list[dict[str, Any]], day: date, number: int) -> None:
    """Move an account to another household, and on every other day close one."""
    sandbox = month.firm.sandbox
    moved, closed = [account for account in live if account["id"] not in month.used][:2]
    homes = [r for r in sandbox.rows("Portfolio/Registrations") if r["clientId"] != moved["clientId"]]
    home = homes[number * 7 % len(homes)]["id"]
    sandbox.admin("orion/move_account", account_id=moved["id"], registration_id=home)
    month.used.add(moved["id"])
    if number % 2:
        sandbox.admin("orion/close_account", account_id=closed["id"], date=str(day))
        month.used.add(closed["id"])


def describe_anew(month: Month, account: int, number: int) -> None:
    """Rename a household, a person and an account; a person leaves a household and returns; a phone is new."""
    clients = month.firm.sandbox.rows("Portfolio/Clients")
    persons = month.firm.sandbox.rows("Portfolio/Registrations")
    renamed = clients[number % len(clients)]["id"]
    month.firm.sandbox.admin("orion/rename_household", client_id=renamed, name=NAMES[number % len(NAMES)])
    set_fields(month, "clients", clients[-1]["id"], homePhone=f"555-01{number:02}", category=f"Kind {number}")
    birth = f"19{50 + number}-02-03T00:00:00"
    set_fields(month, "registrations", persons[number % len(persons)]["id"], lastName=f"Sample{number}", dob=birth)
    set_fields(month, "registrations", persons[0]["id"], clientId=clients[(0, 1, 0, 2)[number % 4]]["id"])
    set_fields(month, "accounts", account, name=f"Renamed account {number}")


def set_fields(month: Month, table: str, row: int, **values: Any) -> None:
    month.firm.sandbox.admin("orion/set_fields", table=table, id=row, set=values)


def correct_price(month: Month, day: date, number: int) -> None:
    assets = month.firm.sandbox.rows("Portfolio/Assets", asOfDate=str(day))
    products = sorted({a["productId"] for a in assets if a["ticker"] and not a["isCustodialCash"]})
    month.firm.sandbox.admin(
        "orion/correct_price", product_id=products[number % len(products)], date=str(day), price=f"{20 + number}.1235"
    )


def evening(day: date) -> datetime:
    return datetime.fromisoformat(f"{day}T23:00:00+00:00")


def run_days(month: Month, days: list[date]) -> None:
    """Run a first load, then days with edits; on some, a price is corrected after the day was sent."""
    for number, day in enumerate(days):
        month.set_clock(evening(day))
        if number:
            edit(month, day, number)
        month.run(day, most_collected=0 if number % 3 == 2 else month.truth.settings.most_collected)
        if number % 5 == 3:
            month.set_clock(evening(day) + timedelta(hours=1))
            correct_price(month, day, number + 7)
            month.run(day, most_collected=month.truth.settings.most_collected)


@contextlib.contextmanager
def run_month(
    postgres: Postgres, folder: Path, days: list[date], truth: Truth, households: int = 16
) -> Iterator[Month]:
    """Run the days with an org of a shape."""
    options: dict[str, Any] = {"households": households, "now": evening(days[0]), "shape": truth.settings.shape}
    with new_database(postgres) as database, run_sandbox(folder / "sandbox", **options) as sandbox:
        firm = Firm(named("orion"), sandbox, database, folder)
        firm.site = replace(firm.site, speed=1000.0)
        crm = Crm(database, sandbox, folder / "work")
        org = Org(sandbox.org_url, "tributary", SECRET)
        month = Month(firm, crm, org, truth)
        run_days(month, days)
        yield month
        org.close()
        crm.engine.dispose()
        firm.engine.dispose()


PERIODS = [
    pytest.param((WEEK, MANAGED), id="week"),
    *(
        pytest.param((MONTH, truth), id=f"month-{truth.settings.shape}", marks=pytest.mark.long)
        for truth in (MANAGED, STANDARD, PLAIN)
    ),
]


@pytest.fixture(scope="module", params=PERIODS)
def month(
    request: pytest.FixtureRequest, postgres: Postgres, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Month]:
    days, truth = request.param
    with run_month(postgres, tmp_path_factory.mktemp("crm-month"), days, truth) as month:
        yield month


def test_after_each_day_salesforce_is_the_warehouse_field_by_field(month: Month) -> None:
    assert [(step.day, step.differing) for step in month.steps if step.differing] == []


def test_each_day_exactly_the_changed_records_were_sent(month: Month) -> None:
    wrong = [
        (step.day, name, "sent unchanged", sorted(step.moved[name] - step.changed[name]),
         "changed, not sent", sorted(step.changed[name] - step.moved[name]))
        for step in month.steps for name in month.truth.kinds if step.moved[name] != step.changed[name]
    ]  # fmt: skip
    assert wrong == []


def test_each_changed_record_was_sent_once_and_taken(month: Month) -> None:
    for step in month.steps:
        assert {name: counts.sent for name, counts in step.counts.items()} == {
            **dict.fromkeys(
                step.counts.keys() - month.truth.kinds.keys(), 0
            ),  # this firm has no planning or e-signature vendor
            **{n: len(k) for n, k in step.changed.items()},
        }
        assert all(c.created + c.updated == c.sent for c in step.counts.values())


def test_every_finding_with_a_task_has_one_each_day(month: Month) -> None:
    assert [(step.day, step.differing_tasks) for step in month.steps if step.differing_tasks] == []
    assert {task["Status"] for task in month.known_tasks.values()} == {"Not Started", "Completed"}


def has_left_and_returned(month: Month) -> bool:
    """Return whether a person left a household and returned: the relation of the two, or the account of the contact."""
    if "membership" in month.known:
        return [True, False, True] in [distinct(values)[:3] for values in month.list_values("membership", "IsActive")]
    homes = [distinct(values) for values in month.list_values("person", "Account.Tributary_Key__c")]
    return any(len(values) > 2 and values[0] in values[2:] for values in homes)


def test_all_that_the_days_are_for_was_seen(month: Month) -> None:
    """Otherwise the tests above prove little: each kind of change reached Salesforce, by bulk jobs and by collections."""
    names = month.truth.names
    assert month.list_values("position", names["units"])
    gone = month.known["position"].keys() - month.stated_positions(month.steps[-1].day)
    assert gone
    assert {month.known["position"][key][names["units"]] for key in gone} == {0}
    assert month.list_values("account", names["status"])
    assert month.list_values("account", names["account household"])
    assert month.list_values("position", names["position household"])
    assert len(month.list_values("household", "Name")) >= 4
    assert month.list_values("contact" if "contact" in month.known else "person", "LastName")
    assert has_left_and_returned(month)
    assert month.list_values("transaction", names["transaction status"])
    assert month.list_values("transaction", names["amount"])
    assert month.list_values("finding", names["is open"])
    assert all(step.changed["position"] < step.expected["position"].keys() for step in month.steps[1:])
    ways = month.crm.database.rows("select distinct sent_by from control.crm_job order by 1")
    assert [row["sent_by"] for row in ways] == ["bulk", "collections"]


def test_an_open_finding_of_an_account_is_shown_at_the_household_that_has_the_account_now(month: Month) -> None:
    elsewhere = month.crm.database.rows("""
        select f.rule, f.subject_id, f.household_id, a.household_id as now from control.finding f
        join warehouse.account a on a.account_id = f.subject_id and a.valid_to is null and a.recorded_to is null
        where f.subject_entity = 'account' and f.closed_at is null and f.household_id is distinct from a.household_id
    """)
    assert elsewhere == []


def test_what_is_written_once_stays_the_firms(month: Month) -> None:
    phones = month.crm.database.value("select count(*) from warehouse.household where phone like '555-01%'")
    assert phones >= len({step.day for step in month.steps}) - 1
    assert (
        month.list_values("household", "Phone") == month.list_values("household", month.truth.names["category"]) == []
    )


def test_nothing_became_a_dead_letter(month: Month) -> None:
    assert month.crm.database.rows("select stage, table_name, reasons from control.dead_letter") == []


def test_a_second_sync_sends_nothing(month: Month) -> None:
    month.set_clock(evening(month.steps[-1].day) + timedelta(hours=2))
    assert {
        name: counts.sent for name, counts in month.crm.sync(settings=month.truth.settings).items() if counts.sent
    } == {}
    differing, moved, _ = month.look(month.known)
    assert (differing, {name: keys for name, keys in moved.items() if keys}) == ({}, {})


def test_a_read_back_finds_everything_as_it_is_believed(month: Month) -> None:
    month.set_clock(evening(month.steps[-1].day) + timedelta(hours=3))
    differences = read_back(replace(month.crm.org, settings=month.truth.settings), "read-back", lambda line: None)
    expected = {name: ReadBackCounts(read=len(records)) for name, records in month.known.items()}
    assert differences == {name: ReadBackCounts(read=0) for name in differences} | expected
