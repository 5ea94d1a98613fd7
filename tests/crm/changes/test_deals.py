"""Deals: their stage history, their household, and the finding, Task and alert of an unserved one."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest

from include.crm import tasks
from include.crm.run import Org, SyncRun
from include.crm.settings import Settings
from include.crm.sync import load
from include.rules import HOUSEHOLD_RULES
from include.rules.evaluation import evaluate_all
from include.rules.policy import Policy
from tests.crm.changes.conftest import DEALS, Subscription, wait_for
from tests.running_sandbox import LAST

[RULE] = [rule for rule in HOUSEHOLD_RULES if rule.name == "deal_unserved"]


def deal(subscription: Subscription, record_id: str) -> dict[str, Any]:
    [row] = subscription.database.rows("select * from mart.deal where salesforce_id = :id", id=record_id)
    return row


def win(subscription: Subscription, **values: Any) -> str:
    """Make a deal and win it while subscribed; return its id."""
    with subscription.listening(DEALS):
        deal_id = subscription.make_deal(**values)
        subscription.change("Opportunity", deal_id, StageName="Closed Won")
        wait_for(lambda: subscription.record(deal_id).get("IsWon") if subscription.kinds(deal_id) else None)
    return deal_id


def adopt_account(subscription: Subscription, entity: str, account: str) -> int:
    """Record a Salesforce account as written by the sync for a household, person or legal entity; return the household's id."""
    [row] = subscription.database.rows(
        f"select vendor, {entity}_key as key, household_id from warehouse.{entity} where household_id is not null"
        f" and recorded_to is null order by {entity}_key limit 1"
    )
    subscription.database.do(
        "insert into control.crm_state (sobject, external_key, payload, salesforce_id, job_id)"
        " values ('Account', :key, '{}', :account, 'a test')",
        key=f"sample:{row['vendor']}:{entity}:{row['key']}", account=account,
    )  # fmt: skip
    household_id: int = row["household_id"]
    return household_id


def evaluate_deals(subscription: Subscription, days: int = 30) -> list[dict[str, Any]]:
    """Evaluate the rule as if the deals had been won this many days before the warehouse's day."""
    subscription.database.do(
        "update warehouse.crm_change set committed_at = cast(:at as date) + (committed_at - date_trunc('day', committed_at))",
        at=LAST - timedelta(days=days),
    )
    evaluate_all(subscription.engine, Policy(), "rules", rules=(), household_rules=[RULE])
    return subscription.database.rows("select * from control.finding where closed_at is null")


def test_stages_are_kept_as_they_went(subscription: Subscription) -> None:
    with subscription.listening(DEALS):
        deal_id = subscription.make_deal()
        for stage in ("Qualification", "Closed Won"):
            subscription.change("Opportunity", deal_id, StageName=stage, Amount=1250000.5)
        wait_for(lambda: subscription.kinds(deal_id).count("UPDATE") == 2 and subscription.record(deal_id).get("IsWon"))
    rows = subscription.database.rows(
        "select stage, since, until from mart.deal_stage where salesforce_id = :id order by since", id=deal_id
    )
    assert [row["stage"] for row in rows] == ["Prospecting", "Qualification", "Closed Won"]
    assert [row["until"] for row in rows] == [*(row["since"] for row in rows[1:]), None]
    now = deal(subscription, deal_id)
    assert (now["stage"], now["is_won"], str(now["amount"])) == ("Closed Won", True, "1250000.50")


def test_of_a_deal_that_was_won_before_we_listened_the_close_date_counts(subscription: Subscription) -> None:
    deal_id = subscription.make_deal("Closed Won", CloseDate="2026-03-02")
    subscription.turn(advance_seconds=3 * 24 * 3600)
    with subscription.listening(DEALS):
        assert str(deal(subscription, deal_id)["won_on"]) == "2026-03-02"


def test_a_deleted_deal_is_none(subscription: Subscription) -> None:
    with subscription.listening(DEALS):
        deal_id = subscription.make_deal()
        wait_for(lambda: subscription.kinds(deal_id))
        subscription.delete("Opportunity", deal_id)
        wait_for(lambda: "DELETE" in subscription.kinds(deal_id))
    assert subscription.database.rows("select * from mart.deal") == []


@pytest.mark.parametrize("entity", ["household", "person", "legal_entity"])
def test_a_deal_is_of_the_household_of_its_account(subscription: Subscription, entity: str) -> None:
    account = subscription.make("Account", Name="Sample")
    household = adopt_account(subscription, entity, account)
    now = deal(subscription, win(subscription, AccountId=account))
    assert (now["household_id"], now["is_served"]) == (household, True)
    assert evaluate_deals(subscription) == []


def test_a_deal_of_an_account_that_we_never_wrote_is_a_finding(subscription: Subscription) -> None:
    deal_id = win(subscription, AccountId=subscription.make("Account", Name="Testbank"))
    [finding] = evaluate_deals(subscription, 30)
    assert (finding["vendor"], finding["subject_entity"], finding["household_id"]) == ("salesforce", "deal", None)
    assert finding["subject_id"] == deal(subscription, deal_id)["deal_id"]
    assert finding["measure"] == 30


def test_it_closes_when_the_household_is_served(subscription: Subscription) -> None:
    account = subscription.make("Account", Name="Testbank")
    win(subscription, AccountId=account)
    assert len(evaluate_deals(subscription)) == 1
    adopt_account(subscription, "household", account)
    assert evaluate_deals(subscription) == []


def test_it_is_a_task_on_the_deal_for_its_owner_and_an_alert(subscription: Subscription, tmp_path: Path) -> None:
    deal_id = win(subscription, AccountId=subscription.make("Account", Name="Testbank"))
    evaluate_deals(subscription)
    org = Org(subscription.engine, subscription.connection, Settings("sample", few=1_000_000))
    specs = {RULE.name: tasks.TaskSpec(RULE.task_subject or "", RULE.due_days)}
    counts = tasks.sync(org, SyncRun("tasks", LAST), specs)
    [task] = map(orjson.loads, subscription.sandbox.http.get("/salesforce/_admin/records/Task").content.splitlines())
    assert (counts.created, task["WhatId"], task["OwnerId"]) == (1, deal_id, subscription.record(deal_id)["OwnerId"])
    load.sync(org, SyncRun("alerts", LAST), tmp_path / "work")
    [alert] = map(
        orjson.loads, subscription.sandbox.http.get("/salesforce/_admin/records/FinServ__Alert__c").content.splitlines()
    )
    assert alert["FinServ__Message__c"] == "deal unserved"
