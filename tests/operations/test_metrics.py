"""Metrics: every one has a value where there is data, and none where there is none."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest
from prometheus_client.parser import text_string_to_metric_families

from include.contract import Vendor
from include.gateway.api.reading import read_freshness
from include.gateway.api.scopes import Permission
from include.operations.metrics import METRICS, RECONCILIATIONS, Sample, read_samples, render
from include.vendors import VENDORS, named
from include.warehouse import schema
from tests.conftest import Database
from tests.operations.health_records import BEFORE, WAITING_SINCE, record_firm, record_good_day
from tests.operations.records import LOADED, NOW, record_calls, record_day, record_dead_letter, record_rejection

ROLES = ("tributary_web", "tributary_api")


def read(
    database: Database, role: str = "tributary_web", now: datetime = NOW, vendors: tuple[Vendor, ...] = VENDORS
) -> dict[tuple[str, ...], float]:
    """Read the samples, by metric and labels; two of the same name and labels fail."""
    engine = schema.engine(database.url(role))
    with engine.connect() as connection:
        samples = read_samples(connection, vendors, now)
    engine.dispose()
    values = {(sample.metric.removeprefix("tributary_"), *sample.labels): sample.value for sample in samples}
    assert len(values) == len(samples)
    return values


@pytest.fixture(scope="module")
def firm(shared_database: Database) -> Database:
    record_firm(shared_database)
    return shared_database


@pytest.fixture(scope="module", params=ROLES)
def values(firm: Database, request: pytest.FixtureRequest) -> dict[tuple[str, ...], float]:
    """The values as the role of the pages, and as the role of the API."""
    return read(firm, request.param)


def test_no_event_waits_without_a_subscriber(database: Database) -> None:
    database.do("insert into control.outbox (type, vendor, subject, data) values ('t', 'orion', 's', '{}')")
    assert read(database)["queue_items", "outbox"] == 0
    database.do(
        "insert into control.outbound_subscriber (subscriber, state, types, vendors, first_seen_at) values ('crm', 'active', '{}', '{}', now())"
    )
    assert read(database)["queue_items", "outbox"] == 1


def test_rows_are_those_of_the_loaded_pull_as_in_the_api(database: Database) -> None:
    record_day(database)
    record_day(database, run="rejected", rows=50, stages=["stage"], at=LOADED + timedelta(hours=1))
    values, engine = read(database), schema.engine(database.url("tributary_api"))
    fresh = read_freshness(engine, NOW, Permission("caller", "status:read", None))
    engine.dispose()
    of_api = {("table_rows", "orion", each["table"]): each["rows"] for each in fresh if each["vendor"] == "orion"}
    of_metrics = {key: value for key, value in values.items() if key[0] == "table_rows" and key in of_api}
    assert sum(of_metrics.values()) == 100
    assert of_metrics == {key: of_api[key] for key in of_metrics}


def test_every_metric_has_a_value_for_both_roles(values: dict[tuple[str, ...], float]) -> None:
    assert {f"tributary_{name}" for name, *_ in values} == {metric.name for metric in METRICS}


@pytest.mark.parametrize(
    ("key", "value"),
    [
        (("vendor_late_seconds", "orion"), 0),
        (("vendor_rejected", "orion"), 0),
        (("vendor_missing_tables", "orion"), 0),
        (("vendor_reconciliation", "orion", "reconciled"), 1),
        (("vendor_reconciliation", "orion", "failed"), 0),
        (("vendor_breaks", "orion"), 0),
        (("vendor_outage_seconds", "orion"), 0),
        (("vendor_api_calls", "orion", "succeeded"), 96),
        (("vendor_api_calls", "orion", "failed"), 4),
        (("vendor_api_calls", "orion", "throttled"), 0),
        (("vendor_api_failed_ratio", "orion"), 0.04),
        (("vendor_api_latency_seconds", "orion", "0.5"), 0.05),
        (("vendor_api_latency_seconds", "orion", "0.95"), 0.095),
        (("vendor_budget_backlog_seconds", "orion", "all"), 90),
        (("vendor_budget_backlog_seconds", "orion", "batch"), 0),
        (("table_business_date_timestamp_seconds", "orion", "assets"), datetime(2026, 11, 25, tzinfo=UTC).timestamp()),
        (("table_loaded_timestamp_seconds", "orion", "assets"), LOADED.timestamp()),
        (("table_rows", "orion", "clients"), 0),
        (("table_dead_letters", "orion", "assets"), 1),
        (("table_dead_letters", "orion", "clients"), 0),
        (("table_missing_usd", "orion", "assets"), 10),
        (("table_unreadable_dead_letters", "orion", "assets"), 0),
        *((("queue_items", queue), 1) for queue in ("inbox", "outbox", "deliveries", "requests")),
        *((("queue_lag_seconds", queue), 1200) for queue in ("inbox", "outbox", "deliveries", "requests")),
        (("queue_failed_items", "inbox"), 1),
        (("queue_failed_items", "deliveries"), 0),
        (("subscribers_stopped",), 1),
        (("salesforce_synced_timestamp_seconds",), WAITING_SINCE.timestamp()),
        (("salesforce_rejected_records",), 0),
        (("salesforce_held_records",), 3),
        (("salesforce_open_approvals",), 1),
        (("salesforce_subscription_failing_seconds",), 1200),
        (("audit_head_published_timestamp_seconds",), WAITING_SINCE.timestamp()),
        (("backup_timestamp_seconds",), WAITING_SINCE.timestamp()),
        (("restore_drill_timestamp_seconds",), WAITING_SINCE.timestamp()),
        (("restore_drill_problems",), 0),
        (("restore_drill_recovery_point_seconds",), 30),
        (("restore_drill_recovery_time_seconds",), 600),
    ],
)
def test_a_metric_has_the_value_that_was_recorded(
    values: dict[tuple[str, ...], float], key: tuple[str, ...], value: float
) -> None:
    assert math.isclose(values[key], value)


def test_rows_of_a_table_are_those_of_its_newest_business_date(firm: Database) -> None:
    rows = {key[2]: value for key, value in read(firm).items() if key[0] == "table_rows"}
    assert sum(rows.values()) == 100


def test_each_result_of_the_reconciliation_has_a_sample() -> None:
    view = (schema.FOLDER.parent / "marts" / "vendor_day.sql").read_text()
    results = view.partition(" as state,")[2].partition(" as reconciliation")[0]
    assert set(re.findall(r"(?:then|else) '([\w ]+)'", results)) == set(RECONCILIATIONS)


def test_all_entries_of_the_audit_trail_without_a_seal_are_counted(firm: Database) -> None:
    entries = firm.rows("select entry_id from control.audit order by entry_id")
    assert read(firm)[("audit_unsealed_entries",)] == len(entries) > 2
    firm.do(
        "insert into control.audit_seal values (1, :id, 'k', cast(repeat('m', 32) as bytea), now())",
        id=entries[1]["entry_id"],
    )
    assert read(firm)[("audit_unsealed_entries",)] == len(entries) - 1  # also the one before the sealed entry


def test_without_data_there_are_no_samples_of_vendors_salesforce_backups_and_drills(database: Database) -> None:
    names = {key[0] for key in read(database)}
    assert names == {"build_info", "queue_items", "queue_lag_seconds", "queue_failed_items", "subscribers_stopped",
                     "audit_unsealed_entries", "audit_unsealed_seconds"}  # fmt: skip


def test_a_day_that_is_due_and_missing_is_late_since_it_was_due(database: Database) -> None:
    record_day(database, BEFORE, LOADED - timedelta(days=1))
    due_at = NOW.replace(hour=13, minute=30)
    assert read(database)[("vendor_late_seconds", "orion")] == 5400
    assert read(database, now=due_at - timedelta(minutes=1))[("vendor_late_seconds", "orion")] == 0


def test_vendor_that_the_firm_no_longer_uses_has_no_samples(database: Database) -> None:
    record_day(database, BEFORE, LOADED - timedelta(days=1))
    assert ("vendor_late_seconds", "orion") in read(database)
    database.do("insert into control.unused_vendor values ('orion')")
    assert not [key for key in read(database) if "orion" in key]


def test_a_due_day_without_some_of_its_tables_is_late(database: Database) -> None:
    record_day(database, BEFORE, LOADED - timedelta(days=1), run="run-0")
    record_day(database, table="assets")
    values = read(database)
    assert values[("vendor_late_seconds", "orion")] == 5400
    assert values[("vendor_missing_tables", "orion")] >= 1


def test_a_rejected_day_is_counted_though_an_earlier_load_is_in_force(database: Database) -> None:
    record_good_day(database)
    record_rejection(database)
    assert read(database)[("vendor_rejected", "orion")] == 1


def test_few_calls_have_no_ratio_of_failures(database: Database) -> None:
    record_good_day(database)
    record_calls(database, 19, failed=19)
    assert ("vendor_api_failed_ratio", "orion") not in read(database)


def test_throttled_calls_are_counted_once_and_belong_to_the_failed_ratio(database: Database) -> None:
    record_good_day(database)
    record_calls(database, 20, failed=2)
    database.do("update control.api_call set status = 429 where latency_ms = 1")
    values = read(database)
    calls = {
        outcome: values[("vendor_api_calls", "orion", outcome)] for outcome in ("succeeded", "failed", "throttled")
    }
    assert calls == {"succeeded": 18, "failed": 1, "throttled": 1}
    assert values[("vendor_api_failed_ratio", "orion")] == 0.1


def test_a_refresh_of_single_clients_does_not_make_a_table_fresh(database: Database) -> None:
    record_day(database, BEFORE, LOADED - timedelta(days=1), run="run-0")
    record_day(database, pulled="selected")
    newest = datetime.combine(BEFORE, datetime.min.time(), UTC).timestamp()
    assert read(database)[("table_business_date_timestamp_seconds", "orion", "assets")] == newest


def test_a_vendor_with_dead_letters_alone_has_samples(database: Database) -> None:
    record_dead_letter(database)
    values = read(database)
    assert values[("table_missing_usd", "orion", "assets")] == 10
    assert ("table_loaded_timestamp_seconds", "orion", "assets") not in values


def test_outflows_in_dead_letters_do_not_cancel_inflows(database: Database) -> None:
    record_day(database)
    for key, money in (("in", 600_000), ("out", -600_000)):
        record_dead_letter(database, key, money=money)
    assert read(database)[("table_missing_usd", "orion", "assets")] == 1_200_000


def test_only_declared_vendors_and_tables_are_labels(database: Database) -> None:
    record_good_day(database)
    record_dead_letter(database, vendor="invented", table="assets")
    record_dead_letter(database, table="invented")
    assert not [key for key in read(database) if "invented" in key]


def test_only_the_vendors_in_question_are_read(database: Database) -> None:
    record_good_day(database)
    record_dead_letter(database, vendor="tamarac", table="holdings", day=date(2026, 11, 25))
    vendors = {key[1] for key in read(database, vendors=(named("tamarac"),)) if key[0].startswith(("vendor", "table"))}
    assert vendors == {"tamarac"}


def test_the_text_format_has_every_metric_with_its_description_and_its_exact_values() -> None:
    samples = [
        Sample("tributary_vendor_late_seconds", ('a "quoted"\nname\\',), 5400.25),
        Sample("tributary_audit_unsealed_entries", (), 3.0),
    ]
    families = {family.name: family for family in text_string_to_metric_families(render(samples).decode())}
    assert {name: family.documentation for name, family in families.items()} == {m.name: m.help for m in METRICS}
    [late] = families["tributary_vendor_late_seconds"].samples
    assert (late.labels, late.value) == ({"vendor": 'a "quoted"\nname\\'}, 5400.25)


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_names_follow_the_conventions(metric: object) -> None:
    name = str(getattr(metric, "name"))  # noqa: B009
    units = ("_seconds", "_usd", "_ratio", "_info")
    counts = ("_rejected", "_tables", "_reconciliation", "_breaks", "_calls", "_rows", "_letters", "_items", "_stopped", "_records",
              "_approvals", "_entries", "_problems")  # fmt: skip
    assert name.startswith("tributary_")
    assert name.endswith(units + counts)
    assert "_ms" not in name


def test_samples_of_fifty_vendors_are_bounded(database: Database) -> None:
    record_good_day(database)
    of_one = len(read(database))
    vendors = (named("orion"), *(replace(named("orion"), name=f"other{n}") for n in range(49)))
    assert len(read(database, vendors=vendors)) == of_one  # vendors without data have no samples
