"""Rows that may not be sent are held back alone: a vendor's rows, a failing object, and rows that refer to either."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from include.crm.sync import holding, jobs
from include.crm.sync.holding import Held
from include.crm.sync.preview import preview
from include.errors import ConfigurationError, HeldBack, ObjectUnavailable, TargetUnavailable
from tests.crm.conftest import ACCOUNTS, HOLDINGS, INGEST, Crm
from tests.crm.objects.test_planning import COLLEGE, GOALS, Office
from tests.crm.test_tasks import find

NOW = timedelta(0)
GOAL = Held("goal", "failure", "BalanceError", 3, "why")


@pytest.fixture
def office(crm: Crm, tmp_path: Path) -> Iterator[Office]:
    """An org that holds the day of a portfolio system, a planner and a risk vendor."""
    office = Office(crm, tmp_path / "staging")
    office.plan("0.8125", COLLEGE)
    office.numbers(45, 62)
    crm.sync()
    yield office
    for vendor in (office.planner, office.risk):
        vendor.engine.dispose()


def read_held_back(crm: Crm) -> dict[tuple[str, str, str], int]:
    """Read what the newest sync held back: records by object, cause and subject."""
    return {(each.entity, each.cause, each.subject): each.records for each in holding.read(crm.engine)}


def store(crm: Crm, *states: Held) -> None:
    with crm.engine.begin() as db:
        holding.store(db, states, "a-run")


def collect_alerts(crm: Crm, patience: timedelta = NOW) -> list[Held]:
    """Send due alerts; return their states."""
    late: list[Held] = []
    holding.alert_late(crm.engine, patience, lambda states, _: late.extend(states))
    return late


def unsettle(crm: Crm, vendor: str) -> None:
    crm.database.do("update control.reconciliation set is_passed = false where vendor = :vendor", vendor=vendor)


def raise_prices(crm: Crm) -> None:
    crm.database.do("update warehouse.position set price_usd = price_usd + 1")


def test_a_vendor_that_is_not_settled_holds_back_its_own_rows_only(office: Office) -> None:
    crm = office.crm
    unsettle(crm, "plans")
    crm.database.do("update warehouse.goal set name = 'Half a day'")
    raise_prices(crm)

    assert crm.sent() == {"position": len(crm.records(HOLDINGS))}
    assert read_held_back(crm) == {("goal", "vendor", "plans"): 1}
    assert "Half a day" not in {record["Name"] for record in crm.records(GOALS).values()}


def test_a_household_that_a_vendor_describes_which_is_not_settled_stays_as_it_is(office: Office) -> None:
    crm = office.crm
    unsettle(crm, "risks")
    before = office.household()
    crm.database.do("update warehouse.client_risk set risk_number = 99 where recorded_to is null")
    crm.database.do("update warehouse.household set city = 'Elsewhere' where vendor = 'orion'")
    households = len(crm.records("Account", "household"))

    assert crm.sent()["household"] == households - 1
    assert office.household() == before
    assert read_held_back(crm)["household", "vendor", "risks"] == 1


def test_once_the_vendor_is_settled_its_rows_are_sent(office: Office) -> None:
    crm = office.crm
    unsettle(crm, "plans")
    crm.database.do("update warehouse.goal set name = 'A day'")
    with pytest.raises(HeldBack, match="vendors=plans records=1"):
        crm.sync()
    crm.database.do("update control.reconciliation set is_passed = true")

    assert crm.sent() == {"goal": 1}
    assert read_held_back(crm) == {}


def test_a_run_of_which_an_earlier_try_has_sent_something_is_no_standstill(office: Office) -> None:
    crm = office.crm
    unsettle(crm, "plans")
    crm.database.do("update warehouse.goal set name = 'A day'")
    crm.database.do("""
        insert into control.ledger (ledger_id, run_id, vendor, table_name, entity, business_date, stage, pull_id, pulled, extracted_at,
                                    sent, updated)
        select nextval('control.ledger_id'), 'tried again', 'salesforce', 'Account', 'household', business_date, 'crm', 'tried again',
               'current', extracted_at, 1, 1 from control.ledger where stage = 'load' limit 1
    """)

    crm.sync(run_id="tried again")

    with pytest.raises(HeldBack):
        crm.sync()


def test_a_preview_names_the_vendors_that_are_not_settled(office: Office) -> None:
    unsettle(office.crm, "plans")

    assert list(preview(office.crm.engine, office.crm.settings).unsettled) == ["plans"]


def test_a_vendor_that_is_not_settled_stops_nothing_when_nothing_of_it_changed(office: Office) -> None:
    unsettle(office.crm, "plans")

    assert office.crm.sent() == {}


def get_stuck(crm: Crm, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the next job, which carries holdings, hang; small changes are sent by collections."""
    crm.settings = replace(crm.settings, most_collected=10)
    monkeypatch.setattr(jobs, "LONGEST_STALL_S", 0.3)
    monkeypatch.setattr(jobs, "LONGEST_ADOPTED_STALL_S", 0.1)
    crm.fault("job_slow", f"{INGEST}/*", seconds=60, times=1)
    raise_prices(crm)


def sent_by(crm: Crm, run_id: str) -> list[str]:
    rows = crm.database.rows(
        "select entity from control.ledger where stage = 'crm' and sent > 0 and run_id = :run_id order by 1",
        run_id=run_id,
    )
    return [row["entity"] for row in rows]


@pytest.mark.synced
def test_a_job_that_does_not_end_stops_its_object_alone(crm: Crm, monkeypatch: pytest.MonkeyPatch) -> None:
    get_stuck(crm, monkeypatch)
    crm.database.do("update warehouse.household set city = 'Elsewhere'")
    find(crm)

    with pytest.raises(ObjectUnavailable, match="sobject=FinServ__FinancialHolding__c"):
        crm.sync()

    assert sent_by(crm, "crm-2") == ["finding", "household"]
    assert read_held_back(crm) == {("position", "failure", "ObjectUnavailable"): len(crm.records(HOLDINGS))}


@pytest.mark.synced
def test_a_job_still_under_way_stops_only_its_object_in_the_next_run(crm: Crm, monkeypatch: pytest.MonkeyPatch) -> None:
    get_stuck(crm, monkeypatch)
    with pytest.raises(ObjectUnavailable):
        crm.sync()
    crm.database.do("update warehouse.household set city = 'Elsewhere'")

    with pytest.raises(ObjectUnavailable, match="sobject=FinServ__FinancialHolding__c"):
        crm.sync()

    assert sent_by(crm, "crm-3") == ["household"]
    assert crm.database.value("select count(*) from control.crm_job where state = 'uploaded'") == 1


@pytest.mark.parametrize("most_collected", [0, 2000], ids=["bulk", "collections"])
def test_an_object_that_fails_as_a_whole_stops_no_other(
    crm: Crm, monkeypatch: pytest.MonkeyPatch, most_collected: int
) -> None:
    from include.crm.objects.mapping import always
    from include.crm.objects.portfolio import list_mappings
    from include.crm.sync import load

    crm.sync()
    crm.settings = replace(crm.settings, most_collected=most_collected)
    chosen = [
        replace(each, fields=(*each.fields, always("Not_There__c", "x"))) if each.entity == "security" else each
        for each in list_mappings(crm.settings)
    ]
    monkeypatch.setattr(load, "list_mappings", lambda _: tuple(chosen))
    crm.database.do("update warehouse.account set name = 'Renamed'")
    raise_prices(crm)

    with pytest.raises(ConfigurationError, match="Not_There__c"):
        crm.sync()

    assert {record["Name"] for record in crm.records(ACCOUNTS).values()} == {"Renamed"}
    assert ("security", "failure", "ConfigurationError") in read_held_back(crm)
    assert (
        crm.database.value("select sum(updated) from control.ledger where run_id = 'crm-2' and entity = 'account'") > 0
    )


@pytest.mark.parametrize("most_collected", [0, 2000], ids=["bulk", "collections"])
def test_children_of_records_whose_object_fails_wait(
    crm: Crm, monkeypatch: pytest.MonkeyPatch, most_collected: int
) -> None:
    from include.crm.objects.mapping import always
    from include.crm.objects.portfolio import list_mappings
    from include.crm.sync import load

    crm.sync()
    crm.settings = replace(crm.settings, most_collected=most_collected)
    chosen = [
        replace(each, fields=(*each.fields, always("Not_There__c", "x"))) if each.entity == "account" else each
        for each in list_mappings(crm.settings)
    ]
    monkeypatch.setattr(load, "list_mappings", lambda _: tuple(chosen))
    crm.database.do("update warehouse.account set name = 'Renamed'")
    crm.database.do("update warehouse.household set city = 'Elsewhere'")
    raise_prices(crm)

    with pytest.raises(ConfigurationError, match="Not_There__c"):
        crm.sync()

    assert "position" not in sent_by(crm, "crm-2")
    assert read_held_back(crm)["position", "parent", ""] == len(crm.records(HOLDINGS))


def test_people_are_alerted_once_of_what_is_held_back(office: Office) -> None:
    crm = office.crm
    unsettle(crm, "plans")
    crm.database.do("update warehouse.goal set name = 'Half a day'")
    for _ in range(2):
        with pytest.raises(HeldBack):
            crm.sync()

    first, second = (collect_alerts(crm) for _ in range(2))

    assert [(each.entity, each.subject, each.records) for each in first] == [("goal", "plans", 1)]
    assert first[0].since == crm.database.value(
        "select min(recorded_at) from control.ledger where vendor = 'plans' and stage = 'load'"
    )
    assert second == []


def test_a_load_in_progress_sends_no_alert(office: Office) -> None:
    crm = office.crm
    unsettle(crm, "plans")
    crm.database.do("update warehouse.goal set name = 'Half a day'")
    with pytest.raises(HeldBack):
        crm.sync()

    assert collect_alerts(crm, timedelta(hours=2)) == []


def test_an_alert_of_what_is_held_back_that_fails_is_sent_by_the_next_try_and_is_the_same_alert(crm: Crm) -> None:
    store(crm, GOAL)
    failed, sent = [], []

    def fail(_: list[Held], states: str) -> None:
        failed.append(states)
        raise TargetUnavailable("Not all recipients were reached")

    with pytest.raises(TargetUnavailable):
        holding.alert_late(crm.engine, NOW, fail)
    holding.alert_late(crm.engine, NOW, lambda _, states: sent.append(states))

    assert sent == failed
    assert len(sent) == 1


def test_a_state_that_ended_and_comes_again_is_alerted_again(crm: Crm) -> None:
    names = []
    for held_back in ([GOAL], [], [GOAL]):
        store(crm, *held_back)
        holding.alert_late(crm.engine, NOW, lambda _, states: names.append(states))

    assert len(set(names)) == 2
