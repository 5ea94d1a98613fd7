"""Tasks for advisors: one per finding of a rule with a task, also after crashes; closed with its finding."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any

import orjson
import pytest

from include.control.ledger import Counts
from include.crm import tasks
from include.crm.run import SyncRun
from include.crm.settings import Settings
from include.crm.tasks import TaskSpec
from include.errors import ApprovalNeeded, ConfigurationError, RateLimited, RowsFailed, TargetUnavailable
from tests.crm.conftest import ACCOUNTS, API, Crm
from tests.running_sandbox import LAST

SPECS = {"negative_cash": TaskSpec("Cover negative cash", 1), "household_aum_moved": TaskSpec("Review a large move", 2)}
COLLECTION = f"{API}/composite/sobjects"

pytestmark = pytest.mark.synced


@pytest.fixture
def crm(crm: Crm) -> Crm:
    """An org that holds the loaded day."""
    crm.settings = Settings("sample", few=1_000_000)
    return crm


def raise_tasks(crm: Crm, run_id: str = "tasks") -> Counts:
    return tasks.sync(crm.org, SyncRun(run_id, LAST), SPECS)


def find(crm: Crm, rule: str = "negative_cash", entity: str = "account", nth: int = 0, **values: Any) -> int:
    """Insert an open finding about the nth account or household; return its id."""
    subject = crm.database.value(
        f"select {entity}_id from warehouse.{entity} order by {entity}_key offset :nth limit 1", nth=nth
    )
    finding = {
        "rule": rule, "entity": entity, "subject": subject, "severity": "critical", "details": "Cash is -12.00 dollars",
        "representative": None, "day": LAST,
    } | values  # fmt: skip
    finding_id: int = crm.database.value(
        """
        insert into control.finding (vendor, rule, subject_entity, subject_id, representative_id, severity, measure,
                                     details, business_date_opened, opened_run_id, business_date_seen, seen_run_id)
        values ('orion', :rule, :entity, :subject, :representative, :severity, 1, :details, :day, 'a-run', :day, 'a-run')
        returning finding_id
        """,
        **finding,
    )
    return finding_id


def close(crm: Crm, finding: int) -> None:
    crm.database.do(
        "update control.finding set business_date_closed = :day, closed_run_id = 'a-run', closed_at = clock_timestamp()"
        " where finding_id = :id",
        day=LAST,
        id=finding,
    )


def read_tasks(crm: Crm) -> dict[str, dict[str, Any]]:
    """Read the org's Tasks by our key."""
    lines = crm.http.get("/salesforce/_admin/records/Task").content.splitlines()
    by_key = {record["Tributary_Key__c"]: record for record in map(orjson.loads, lines)}
    assert len(by_key) == len(lines), "two Tasks of one finding"
    return by_key


def task(crm: Crm, finding: int) -> dict[str, Any]:
    return read_tasks(crm)[f"sample:orion:finding:{finding}"]


def edit(crm: Crm, finding: int, **values: object) -> None:
    response = crm.http.patch(f"/salesforce/_admin/records/Task/{task(crm, finding)['Id']}", json=values)
    assert response.status_code == 200, response.text


def test_each_open_finding_of_a_rule_with_a_task_has_one(crm: Crm) -> None:
    first, second = find(crm), find(crm, "household_aum_moved", "household")
    find(crm, "excess_cash")
    close(crm, find(crm, nth=1))

    counts = raise_tasks(crm)

    assert (counts.sent, counts.created, counts.updated, counts.failed) == (2, 2, 0, 0)
    assert set(read_tasks(crm)) == {f"sample:orion:finding:{id}" for id in (first, second)}


def test_a_description_that_could_be_a_formula_gets_an_apostrophe(crm: Crm) -> None:
    finding = find(crm, details="=Sample: cash is -12.00 dollars")

    raise_tasks(crm)

    assert task(crm, finding)["Description"] == "'=Sample: cash is -12.00 dollars"


def test_a_task_has_subject_description_record_and_due_date(crm: Crm) -> None:
    finding = find(crm, day=date(2026, 11, 19))

    raise_tasks(crm)

    record = task(crm, finding)
    assert (record["Subject"], record["Description"]) == ("Cover negative cash", "Cash is -12.00 dollars")
    assert (record["Status"], record["Priority"]) == ("Not Started", "High")
    assert record["ActivityDate"] == "2026-11-20"


@pytest.mark.parametrize(("severity", "priority"), [("critical", "High"), ("warning", "Normal"), ("info", "Normal")])
def test_a_critical_finding_is_urgent(crm: Crm, severity: str, priority: str) -> None:
    finding = find(crm, severity=severity)

    raise_tasks(crm)

    assert task(crm, finding)["Priority"] == priority


@pytest.mark.parametrize(("entity", "sobject"), [("account", ACCOUNTS), ("household", "Account")])
def test_a_task_hangs_on_the_record_that_it_is_about(crm: Crm, entity: str, sobject: str) -> None:
    finding = find(crm, entity=entity)

    raise_tasks(crm)

    key = crm.database.value(f"select min({entity}_key) from warehouse.{entity}")
    assert task(crm, finding)["WhatId"] == crm.records(sobject)[f"sample:orion:{entity}:{key}"]["Id"]


def test_a_task_about_a_copy_hangs_on_the_record_that_represents_it(crm: Crm) -> None:
    household_ids = [
        row["household_id"]
        for row in crm.database.rows("select household_id from warehouse.household order by household_id limit 2")
    ]
    original, copy = household_ids
    key = crm.database.value("select household_key from warehouse.household where household_id = :id", id=original)
    crm.database.do(
        "insert into warehouse.identity (entity, id, identity_id, recorded_from, source_run_id)"
        " values ('household', :copy, :original, now(), 'a-decision')",
        copy=copy, original=original,
    )  # fmt: skip
    finding = find(crm, "household_aum_moved", "household", subject=copy)

    raise_tasks(crm)

    assert task(crm, finding)["WhatId"] == crm.records("Account")[f"sample:orion:household:{key}"]["Id"]


def test_a_task_is_the_representatives_whatever_the_case_of_the_address(crm: Crm) -> None:
    [row] = crm.database.rows("select * from warehouse.representative order by representative_id limit 1")
    response = crm.http.post(
        "/salesforce/_admin/consumers", json={"client_id": "nobody", "username": "Pat.Sample@tributary.example"}
    )
    crm.database.do(
        "update warehouse.representative set email = 'pat.sample@Tributary.example' where representative_id = :id",
        id=row["representative_id"],
    )
    finding = find(crm, representative=row["representative_id"])

    raise_tasks(crm)

    assert task(crm, finding)["OwnerId"] == response.json()["user_id"]


def test_a_task_of_a_representative_whom_salesforce_does_not_know_is_the_load_users(crm: Crm) -> None:
    [row] = crm.database.rows("select * from warehouse.representative order by representative_id limit 1")
    crm.database.do("update warehouse.representative set email = 'o''nobody\\@tributary.example'")
    finding, other = find(crm, representative=row["representative_id"]), find(crm, nth=1)

    raise_tasks(crm)

    assert task(crm, finding)["OwnerId"] == task(crm, other)["OwnerId"] == task(crm, other)["CreatedById"]


def test_a_second_run_makes_no_second_task(crm: Crm) -> None:
    find(crm)
    raise_tasks(crm)

    counts = raise_tasks(crm, "again")

    assert counts.sent == 0
    assert len(read_tasks(crm)) == 1


def test_more_tasks_than_a_call_takes_are_all_made_once(crm: Crm, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks, "COLLECTION_ROWS", 3)
    monkeypatch.setattr(tasks, "_KEYS_PER_QUERY", 2)
    for nth in range(8):
        find(crm, nth=nth)

    assert raise_tasks(crm).created == 8
    assert raise_tasks(crm, "again").sent == 0
    assert len(read_tasks(crm)) == 8


def lose_the_response(crm: Crm) -> None:
    """Raise Tasks that Salesforce creates, but lose the response."""
    crm.fault("body_cut", COLLECTION, times=1)
    with pytest.raises(TargetUnavailable):
        raise_tasks(crm, "lost")
    assert read_tasks(crm)


def test_a_task_whose_response_was_lost_is_not_created_again(crm: Crm) -> None:
    finding = find(crm)
    lose_the_response(crm)

    counts = raise_tasks(crm, "again")

    assert (counts.sent, counts.created) == (1, 1)
    assert len(read_tasks(crm)) == 1
    assert raise_tasks(crm, "third").sent == 0
    close(crm, finding)
    assert raise_tasks(crm, "fourth").updated == 1


def test_a_task_whose_response_was_lost_closes_with_its_finding(crm: Crm) -> None:
    finding = find(crm)
    lose_the_response(crm)
    close(crm, finding)

    raise_tasks(crm, "again")

    assert task(crm, finding)["Status"] == "Completed"


def test_tasks_that_salesforce_never_got_are_made_by_the_next_run(crm: Crm) -> None:
    find(crm), find(crm, nth=1)
    crm.fault("server_error", COLLECTION, times=1)
    with pytest.raises(TargetUnavailable):
        raise_tasks(crm)
    assert read_tasks(crm) == {}

    assert raise_tasks(crm, "again").created == 2
    assert len(read_tasks(crm)) == 2


def test_a_task_closes_with_its_finding(crm: Crm) -> None:
    finding, other = find(crm), find(crm, nth=1)
    raise_tasks(crm)
    close(crm, finding)

    counts = raise_tasks(crm, "again")

    assert (counts.sent, counts.updated) == (1, 1)
    assert (task(crm, finding)["Status"], task(crm, other)["Status"]) == ("Completed", "Not Started")
    assert raise_tasks(crm, "third").sent == 0


def test_a_closing_whose_response_was_lost_is_recorded(crm: Crm) -> None:
    finding = find(crm)
    raise_tasks(crm)
    close(crm, finding)
    crm.fault("body_cut", COLLECTION, times=1)

    counts = raise_tasks(crm, "again")

    assert counts.updated == 1
    assert task(crm, finding)["Status"] == "Completed"
    assert raise_tasks(crm, "third").sent == 0


@pytest.mark.parametrize("status", ["Completed", "Done"])
def test_a_task_that_a_person_completed_is_left_alone(crm: Crm, status: str) -> None:
    finding, still_open = find(crm), find(crm, nth=1)
    raise_tasks(crm)
    for done in (finding, still_open):
        edit(crm, done, Status=status, Description="Called, all is well")
    before = read_tasks(crm)
    close(crm, finding)

    assert raise_tasks(crm, "again").sent == 0
    assert read_tasks(crm) == before


def test_a_task_that_a_person_deleted_is_not_made_again(crm: Crm) -> None:
    finding, still_open = find(crm), find(crm, nth=1)
    raise_tasks(crm)
    for gone in (finding, still_open):
        crm.http.delete(f"/salesforce/_admin/records/Task/{task(crm, gone)['Id']}")
    close(crm, finding)

    assert raise_tasks(crm, "again").sent == 0
    assert read_tasks(crm) == {}


def test_a_cause_that_comes_back_has_a_task_of_its_own(crm: Crm) -> None:
    first = find(crm)
    raise_tasks(crm)
    close(crm, first)
    second = find(crm)

    counts = raise_tasks(crm, "again")

    assert (counts.created, counts.updated) == (1, 1)
    assert (task(crm, first)["Status"], task(crm, second)["Status"]) == ("Completed", "Not Started")


def test_every_call_is_a_ledger_row_that_balances(crm: Crm) -> None:
    finding = find(crm)
    raise_tasks(crm)
    close(crm, finding)
    find(crm, nth=1)

    raise_tasks(crm, "again")

    rows = crm.database.rows("select * from control.ledger where entity = 'task' order by ledger_id")
    assert [(r["run_id"], r["sent"], r["created"], r["updated"], r["failed"]) for r in rows] == [
        ("tasks", 1, 1, 0, 0),
        ("again", 1, 1, 0, 0),
        ("again", 1, 0, 1, 0),
    ]


def refuse(crm: Crm, nth: int = 0) -> int:
    """Insert a finding whose Task Salesforce rejects, because its record's id has the wrong prefix."""
    finding = find(crm, nth=nth)
    crm.database.do(
        "update control.crm_state set salesforce_id = '00Tno' where external_key = 'sample:orion:account:' ||"
        " (select account_key from warehouse.account order by account_key offset :nth limit 1)",
        nth=nth,
    )
    return finding


def accept_tasks(crm: Crm) -> None:
    """Correct the ids, so that Salesforce accepts the rejected Tasks."""
    ids = {key: record["Id"] for key, record in crm.records(ACCOUNTS).items()}
    for key, salesforce_id in ids.items():
        crm.database.do(
            "update control.crm_state set salesforce_id = :id where external_key = :key", id=salesforce_id, key=key
        )


def test_a_rejected_task_becomes_a_dead_letter_and_blocks_no_other(crm: Crm) -> None:
    refused, other = refuse(crm), find(crm, nth=1)

    with pytest.raises(RowsFailed, match="rows=1"):
        raise_tasks(crm)

    [dead_letter] = crm.dead_letters()
    assert (dead_letter["table_name"], dead_letter["row_key"]) == ("Task", f"sample:orion:finding:{refused}")
    assert "WhatId" in dead_letter["reasons"][0]
    assert set(read_tasks(crm)) == {f"sample:orion:finding:{other}"}
    [row] = crm.database.rows("select * from control.ledger where entity = 'task'")
    assert (row["sent"], row["created"], row["failed"], row["dead"]) == (2, 1, 1, 1)


def let_a_day_pass(crm: Crm) -> None:
    crm.database.do("update control.crm_job set changed_at = changed_at - interval '1 day'")


def test_a_rejected_task_is_retried_the_next_day_with_one_dead_letter(crm: Crm) -> None:
    refuse(crm)
    with pytest.raises(RowsFailed):
        raise_tasks(crm)
    assert raise_tasks(crm, "an hour later").sent == 0
    let_a_day_pass(crm)

    with pytest.raises(RowsFailed):
        raise_tasks(crm, "next day")

    assert [dead_letter["run_id"] for dead_letter in crm.dead_letters()] == ["next day"]


def test_the_dead_letter_of_a_rejected_task_closes_when_it_is_created(crm: Crm) -> None:
    finding = refuse(crm)
    with pytest.raises(RowsFailed):
        raise_tasks(crm)
    accept_tasks(crm)
    let_a_day_pass(crm)

    assert raise_tasks(crm, "next day").created == 1
    assert task(crm, finding)
    assert crm.dead_letters() == []
    assert crm.database.value("select count(*) from control.crm_sent") == 0


def test_the_dead_letter_of_a_rejected_task_closes_with_its_finding(crm: Crm) -> None:
    finding = refuse(crm)
    with pytest.raises(RowsFailed):
        raise_tasks(crm)
    close(crm, finding)

    raise_tasks(crm, "again")

    assert crm.dead_letters() == []


def test_a_second_attempt_of_a_run_is_also_accounted_for(crm: Crm) -> None:
    first = refuse(crm)
    with pytest.raises(RowsFailed):
        raise_tasks(crm)
    other = refuse(crm, nth=1)

    with pytest.raises(RowsFailed):
        raise_tasks(crm)

    keys = {f"sample:orion:finding:{id}" for id in (first, other)}
    assert {dead_letter["row_key"] for dead_letter in crm.dead_letters()} == keys
    assert (
        crm.database.value("select sum(sent) || ' ' || sum(failed) from control.ledger where entity = 'task'") == "2 2"
    )


def test_a_locked_record_is_no_refusal(crm: Crm) -> None:
    finding = find(crm)
    crm.fault("row_lock", COLLECTION, share=1.0, times=1)

    try:
        raise_tasks(crm)
    except TargetUnavailable:
        raise_tasks(crm, "again")

    assert task(crm, finding)
    assert crm.database.value("select count(*) from control.dead_letter where stage = 'crm'") == 0


def test_what_was_deleted_in_salesforce_gets_no_task(crm: Crm) -> None:
    finding, other = find(crm), find(crm, nth=1)
    key = crm.database.value("select min(account_key) from warehouse.account")
    crm.http.delete(
        f"/salesforce/_admin/records/{ACCOUNTS}/{crm.records(ACCOUNTS)[f'sample:orion:account:{key}']['Id']}"
    )
    crm.database.do(
        "update control.crm_state set missing = 'deleted' where external_key = :key", key=f"sample:orion:account:{key}"
    )

    counts = raise_tasks(crm)

    assert (counts.created, counts.failed) == (1, 0)
    assert f"sample:orion:finding:{finding}" not in read_tasks(crm)
    assert task(crm, other)


def test_a_finding_about_what_salesforce_does_not_hold_yet_waits(crm: Crm) -> None:
    finding = find(crm)
    [row] = crm.database.rows(
        "delete from control.crm_state where external_key = 'sample:orion:account:' ||"
        " (select min(account_key) from warehouse.account) returning sobject, external_key, salesforce_id"
    )
    assert raise_tasks(crm).sent == 0
    crm.database.do(
        "insert into control.crm_state (sobject, external_key, payload, salesforce_id, job_id)"
        " values (:sobject, :external_key, '{}', :salesforce_id, 'x')",
        **row,
    )

    assert raise_tasks(crm, "again").created == 1
    assert task(crm, finding)


def test_tasks_wait_while_the_alerts_of_findings_wait_for_approval(crm: Crm) -> None:
    find(crm)
    with pytest.raises(ApprovalNeeded, match="finding: a first load"):
        crm.sync(settings=replace(crm.settings, few=0))
    assert raise_tasks(crm).created == 0
    crm.sync()
    assert raise_tasks(crm, "later").created == 1


def test_tasks_do_not_wait_while_another_change_waits_for_approval(crm: Crm) -> None:
    find(crm)
    crm.sync()
    crm.database.do("update warehouse.account set name = name || ' (moved)'")
    with pytest.raises(ApprovalNeeded, match="account: 100%"):
        crm.sync(settings=replace(crm.settings, few=0, most_changed_ratio=Decimal(0)))
    assert raise_tasks(crm).created == 1


def test_the_days_reserve_is_left(crm: Crm) -> None:
    find(crm)
    crm.http.post("/salesforce/_admin/limits", json={"DailyApiRequests": {"Max": 1000, "Remaining": 190}})

    with pytest.raises(RateLimited, match="reserve"):
        raise_tasks(crm)

    assert read_tasks(crm) == {}


def test_a_field_of_the_key_that_the_org_lacks_is_a_configuration_error(crm: Crm) -> None:
    crm.settings = replace(crm.settings, key_fields={"Task": "Not_There__c"})
    find(crm)

    with pytest.raises(ConfigurationError, match="INVALID_FIELD"):
        raise_tasks(crm)
