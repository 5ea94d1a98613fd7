"""The light of Salesforce."""

from __future__ import annotations

from datetime import timedelta

import pytest
import sqlalchemy as sa

from include.operations.metrics import Sample
from include.operations.salesforce_status import SalesforceStatus, read_salesforce_status
from include.operations.signals import evaluate
from tests.conftest import Database
from tests.operations.records import NOW, record_dead_letter


def read(web: sa.Engine) -> SalesforceStatus:
    with web.connect() as connection:
        return read_salesforce_status(connection, NOW)


@pytest.fixture
def synced(database: Database) -> Database:
    """An hour ago, a sync sent three records; two days ago, another sent five."""
    for pull, hours, sent in (("a", 1, 3), ("b", 48, 5)):
        database.do(
            "insert into control.ledger (ledger_id, run_id, vendor, table_name, entity, business_date, stage, pull_id, pulled, extracted_at,"
            " recorded_at, sent, created) values (nextval('control.ledger_id'), 'crm', 'salesforce', 'Contact', 'person', '2026-11-25', 'crm',"
            " :pull, 'current', :at, :at, :sent, :sent)", pull=pull, at=NOW - timedelta(hours=hours), sent=sent,
        )  # fmt: skip
    return database


def test_nothing_sent_is_grey(web: sa.Engine) -> None:
    assert read(web).summarize("") == ("grey", "Nothing has been sent yet.")


def test_the_records_of_the_last_day_are_counted(synced: Database, web: sa.Engine) -> None:
    status = read(web)
    assert (status.sent, status.synced_at) == (3, NOW - timedelta(hours=1))
    assert status.summarize("") == ("green", "Up to date. 3 records sent in the last day.")


@pytest.mark.parametrize(("days", "light"), [(4, "green"), (5, "amber")])
def test_a_sync_of_days_ago_is_amber_as_in_the_health_signals(
    synced: Database, web: sa.Engine, days: int, light: str
) -> None:
    synced_at = NOW - timedelta(hours=1)
    with web.connect() as connection:
        status = read_salesforce_status(connection, synced_at + timedelta(days=days))
    sample = Sample("tributary_salesforce_synced_timestamp_seconds", (), synced_at.timestamp())
    [reading] = [each for each in evaluate([sample], status.read_at) if each.signal.name == "salesforce_sync"]
    assert status.summarize("").light == reading.light == light
    assert ("No record has been sent since" in status.summarize("").text) == (light == "amber")


def test_a_pause_is_red(synced: Database, web: sa.Engine) -> None:
    assert read(web).summarize("The Variable is true").light == "red"


def test_held_back_rejected_and_undecided_records_are_amber(synced: Database, web: sa.Engine) -> None:
    synced.do(
        "insert into control.crm_held (entity, cause, subject, records, reason, since, run_id)"
        " values ('account', 'vendor', 'orion', 7, 'not reconciled', '2026-11-26T07:12Z', 'crm')"
    )
    synced.do(
        "insert into control.crm_question (entity, question, records, difference, wording, run_id, requested_at)"
        " values ('account', 'change', 300, 'd', '300 accounts would change', 'crm', :at)", at=NOW - timedelta(hours=2),
    )  # fmt: skip
    record_dead_letter(synced, vendor="salesforce", table="Contact", stage="crm", reason="DUPLICATE_VALUE: x")
    assert read(web).find_concerns("") == [
        ("amber", "7 records held back since 2026-11-26 07:12 UTC."),
        ("amber", "1 change waiting for an approval."),
        ("amber", "1 record rejected by Salesforce."),
    ]
