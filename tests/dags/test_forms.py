"""Forms reject invalid values before a run starts, through the API that Airflow's pages use; and their descriptions."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from include import business_dates
from include.errors import ConfigurationError
from include.pipeline.plan import find_keyed
from include.vendors import VENDORS, named
from local.airflow_api import AirflowApi
from tests.dags.stored_dags import serve_dags

pytestmark = [pytest.mark.airflow, pytest.mark.timeout(600)]

DATED = [
    *(vendor.name for vendor in VENDORS),
    *(f"{vendor.name}_on_demand" for vendor in VENDORS if find_keyed(vendor)),
    "replay_dead_letters",
]
TOMORROW = f"{datetime.now(UTC) + timedelta(days=1):%Y-%m-%d}"


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory, airflow_database: Path) -> Iterator[AirflowApi]:
    with serve_dags(tmp_path_factory.mktemp("forms"), airflow_database) as (api, _, _):
        yield api


def fill_form(dag_id: str, day: str | None) -> dict[str, Any]:
    return {"business_date": day} | ({"keys": ["1"]} if dag_id.endswith("_on_demand") else {})


@pytest.mark.parametrize(
    ("day", "why"),
    [
        (
            "2026-11-22",
            "2026-11-22 is not a trading day of the New York Stock Exchange; the previous one is 2026-11-20",
        ),
        ("2025-12-25", "is not a trading day"),
        ("2005-03-01", "is too early"),
        (TOMORROW, TOMORROW),
        ("2026-02-30", "is not a date; use the format 2026-11-25"),
        ("last Friday", "is not a date; use the format 2026-11-25"),
    ],
)
def test_an_invalid_date_starts_no_run_and_the_form_shows_the_reason(api: AirflowApi, day: str, why: str) -> None:
    for dag_id in DATED:
        with pytest.raises(ConfigurationError) as error:
            api.trigger(dag_id, fill_form(dag_id, day))
        assert error.value.facts["status"] == 400
        assert why in str(error.value)
        assert api.runs(dag_id) == []


@pytest.mark.parametrize("path", ["backfills", "backfills/dry_run"])
@pytest.mark.parametrize("day", ["2026-11-03", "2026-11-22"])
def test_a_backfill_with_one_date_for_all_runs_is_refused(api: AirflowApi, path: str, day: str) -> None:
    with pytest.raises(ConfigurationError, match="Leave the business date empty in a backfill") as error:
        api._call("POST", path, json=backfill({"business_date": day}))
    assert error.value.facts["status"] == 422
    assert api.runs("orion") == []


def test_a_backfill_without_a_date_is_possible(api: AirflowApi) -> None:
    for conf in ({}, None, {"business_date": None}):
        planned = api._call("POST", "backfills/dry_run", json=backfill(conf))
        assert [each["logical_date"][:10] for each in planned["backfills"]] == ["2026-11-02", "2026-11-03"]


def backfill(conf: dict[str, Any] | None) -> dict[str, Any]:
    return {
        "dag_id": "orion", "from_date": "2026-11-02T00:00:00Z", "to_date": "2026-11-04T00:00:00Z", "dag_run_conf": conf,
    }  # fmt: skip


def test_a_trading_day_and_an_empty_date_start_a_run(api: AirflowApi) -> None:
    closed = business_dates.latest_closed(datetime.now(UTC)).isoformat()
    for dag_id in DATED:
        for day in ("2026-11-20", closed, None):
            api.trigger(dag_id, fill_form(dag_id, day))
        assert len(api.runs(dag_id)) == 3


def read_form(api: AirflowApi, dag_id: str) -> dict[str, Any]:
    return dict(api._call("GET", f"dags/{dag_id}/details")["params"])


def test_a_form_can_be_sent_without_its_optional_texts_and_asks_for_the_others(api: AirflowApi) -> None:
    """Airflow's form clears an empty text to null. If null is not allowed, its button stays disabled; only with a minLength it says why."""
    dag_ids = [dag["dag_id"] for dag in api._call("GET", "dags", params={"limit": 100})["dags"]]
    stuck = [
        (dag_id, name)
        for dag_id in dag_ids
        if dag_id != "approve_salesforce"  # only the DAG `salesforce` starts it
        for name, field in read_form(api, dag_id).items()
        if field["value"] == "" and field["schema"]["type"] == "string" and "minLength" not in field["schema"]
    ]
    assert len(dag_ids) > 25
    assert stuck == []
    for dag_id in ("replay_dead_letters", "adopt_salesforce_records"):
        assert api.trigger(dag_id, {"reason": None})


def test_a_form_names_the_tables_that_a_past_date_leaves_out(api: AirflowApi) -> None:
    descriptions = {vendor.name: read_form(api, vendor.name)["tables"]["description"] for vendor in VENDORS}
    assert "omits representatives, clients, registrations: Orion Advisor can't return them" in descriptions["orion"]
    assert "eMoney Advisor can't return past days" in descriptions["emoney"]
    for vendor in VENDORS:
        left_out = [table.name for table in vendor.requested_tables if not table.states_past]
        assert len(left_out) == len(vendor.requested_tables) or all(
            name in descriptions[vendor.name] for name in left_out
        )


@pytest.mark.parametrize(
    ("vendor_name", "title"),
    [("docusign", "Envelopes"), ("adobe_sign", "Agreements"), ("emoney", "Clients"), ("moneyguidepro", "Households")],
)
def test_an_on_demand_form_names_the_vendors_key_table(api: AirflowApi, vendor_name: str, title: str) -> None:
    keys = read_form(api, f"{vendor_name}_on_demand")["keys"]
    assert keys["schema"]["title"] == title
    assert title.lower() in keys["description"]
    dag = api._call("GET", f"dags/{vendor_name}_on_demand")
    assert dag["dag_display_name"].endswith(f"refresh single {title.lower()}")


def test_only_a_vendor_with_a_closing_offers_to_wait_for_it(api: AirflowApi) -> None:
    offered = {dag_id for dag_id in DATED if "wait" in read_form(api, dag_id)}
    assert offered == {dag_id for dag_id in DATED if dag_id in {v.name for v in VENDORS} and named(dag_id).closed}


def test_the_form_of_replays_offers_no_table_that_needs_a_new_run_and_names_those(api: AirflowApi) -> None:
    table = read_form(api, "replay_dead_letters")["table"]
    tables = [(vendor, each) for vendor in VENDORS for each in vendor.requested_tables]
    assert table["schema"]["enum"] == [f"{vendor.name}.{each.name}" for vendor, each in tables if not each.parent]
    nested = [(vendor, each) for vendor, each in tables if each.parent]
    assert len(nested) > 10
    for vendor, each in nested:
        assert re.search(rf"{vendor.title}: [^;]*\b{each.name}\b", table["description"])
    with pytest.raises(ConfigurationError, match=r"emoney\.plans") as error:
        api.trigger("replay_dead_letters", {"table": "emoney.plans"})
    assert error.value.facts["status"] == 400


def test_an_error_to_resend_needs_its_object(api: AirflowApi) -> None:
    with pytest.raises(ConfigurationError) as error:
        api.trigger("salesforce", {"resend_error": "REQUIRED_FIELD_MISSING"})
    assert error.value.facts["status"] == 400
    api.trigger("salesforce", {"resend_error": "Account: REQUIRED_FIELD_MISSING"})
    assert len(api.runs("salesforce")) == 1


def test_a_group_of_dead_letters_needs_all_its_parts(api: AirflowApi) -> None:
    with pytest.raises(ConfigurationError, match="table_name") as error:
        api.trigger("replay_dead_letters", {"action": "discard", "group": {"vendor": "orion"}})
    assert error.value.facts["status"] == 400


def test_no_task_of_a_vendors_dag_is_shown_with_a_number_after_its_name(api: AirflowApi) -> None:
    numbered = {
        (vendor.name, task["task_display_name"])
        for vendor in VENDORS
        for task in api._call("GET", f"dags/{vendor.name}/tasks")["tasks"]
        if re.search(r"__\d+$", task["task_display_name"])
    }
    assert numbered == set()
