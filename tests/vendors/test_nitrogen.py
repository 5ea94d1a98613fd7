"""Nitrogen's own code: bare lists and envelopes, errors with status 200, risk numbers of clients and portfolios."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import sqlalchemy as sa

from include.errors import VendorUnavailable
from include.vendors.nitrogen import CLIENTS, NITROGEN, QUESTIONNAIRES, generation, is_set, list_household_keys
from tests.extract.vendor_server import Puller, RecordedCall, Reply, listen, vendor_of
from tests.vendors.conftest import Run
from tests.vendors.golden_day import NOW, Day, Responses, Row, change_response, goldens, reply_from, run_day, to_json

GOLDEN = goldens(NITROGEN)
TABLES = tuple(table.name for table in NITROGEN.tables)


@pytest.fixture(scope="module")
def golden_day(engine: Any, tmp_path_factory: pytest.TempPathFactory) -> Day:
    """A day of the unchanged goldens."""
    return run_day(engine, tmp_path_factory.mktemp("advised"), NITROGEN, GOLDEN)


def client(**fields: Any) -> Responses:
    """Return the goldens with these fields of the first client."""
    return change_response(GOLDEN, "clients", lambda rows: rows[0].update(fields))


def repeat_first_row(table: str, *rows: Row) -> Responses:
    """Return the goldens with a list of copies of its first row, each changed by one of `rows`."""
    [first, *_] = json.loads(GOLDEN[table])["data"]
    return {**GOLDEN, table: to_json({"data": [first | {"id": first["id"] + n} | row for n, row in enumerate(rows)]})}


# --- envelopes, and failures in them ---


@pytest.mark.parametrize("table", TABLES)
def test_bare_list_and_envelope_are_read_alike(run: Run, golden_day: Day, table: str) -> None:
    rows = json.loads(GOLDEN[table])
    other = {**GOLDEN, table: to_json(rows["data"] if isinstance(rows, dict) else rows)}
    assert run(NITROGEN, other, *TABLES).staged(table) == golden_day.staged(table)


@pytest.mark.parametrize("table", [CLIENTS, QUESTIONNAIRES], ids=lambda table: table.name)
def test_response_of_200_with_an_error_is_a_failure(engine: sa.Engine, tmp_path: Path, table: Any) -> None:
    vendor = vendor_of(*NITROGEN.tables, error_field=NITROGEN.error_field)
    with listen(lambda call: Reply({"error": "server_error", "error_description": "Sample"})) as listener:
        puller = Puller(engine, vendor, listener.url, tmp_path, run_id=table.name)
        with pytest.raises(VendorUnavailable, match="failure with a success status"):
            puller.rows(table, keys=[{"grant": "8001"}])


def test_failure_that_passes_costs_no_row(run: Run, golden_day: Day) -> None:
    respond, seen = reply_from(NITROGEN, GOLDEN), set[str]()

    def fail_once(call: RecordedCall) -> Reply:
        if call.path in seen:
            return respond(call)
        seen.add(call.path)
        return Reply({"error": "server_error"})

    day = run(NITROGEN, fail_once, *TABLES)
    assert [day.staged(table) for table in TABLES] == [golden_day.staged(table) for table in TABLES]


# --- risk numbers ---


def test_number_of_a_client_and_of_a_portfolio_are_different_facts(golden_day: Day) -> None:
    [client_risk] = [r for r in golden_day.read_canonical("clients", "client_risk") if r["person_key"] == "500001"]
    [portfolio] = [
        r for r in golden_day.read_canonical("portfolios", "portfolio_risk") if r["portfolio_key"] == "700001"
    ]
    assert (client_risk["risk_number"], portfolio["risk_number"]) == (52, 60)
    assert "person_key" not in portfolio


def test_risk_number_that_the_vendor_does_not_state_is_recorded_as_missing(golden_day: Day) -> None:
    clients = {row["person_key"]: row["risk_number"] for row in golden_day.read_canonical("clients", "client_risk")}
    assert clients["500003"] is None
    risks = golden_day.read_canonical("portfolios", "portfolio_risk")
    assert {row["portfolio_key"]: row["risk_number"] for row in risks}["700003"] is None


@pytest.mark.parametrize("number", [1, 99])
def test_risk_number_goes_from_1_to_99(run: Run, number: int) -> None:
    day = run(NITROGEN, client(risk_number=number), "clients")
    assert day.read_canonical("clients", "client_risk")[0]["risk_number"] == number


@pytest.mark.parametrize("number", [0, 100, -1])
def test_risk_number_off_the_scale_is_a_dead_letter(run: Run, number: int) -> None:
    day = run(NITROGEN, client(risk_number=number), "clients")
    assert {"key": "500001", "reasons": ["expect_column_values_to_be_between(risk_number): 1 to 99"]} in day.dead(
        "clients"
    )


@pytest.mark.parametrize("table", TABLES)
def test_risk_number_written_as_a_float_is_read(run: Run, table: str) -> None:
    def change(body: Any) -> None:
        [first, *_] = body["data"] if isinstance(body, dict) else body
        first.get("analysis", first)["risk_number"] = 61.0

    day = run(NITROGEN, change_response(GOLDEN, table, change), *TABLES)
    entity = {"clients": "client_risk", "portfolios": "portfolio_risk", "questionnaires": "questionnaire"}[table]
    assert day.read_canonical(table, entity)[0]["risk_number"] == 61


@pytest.mark.parametrize("advisor", [8001, "8001", None])
def test_advisor_may_be_a_number_or_a_text(run: Run, advisor: object) -> None:
    day = run(NITROGEN, client(advisor_user_id=advisor), "clients")
    assert "500001" in {row["person_key"] for row in day.read_canonical("clients", "person")}


def test_numbers_are_stamped_with_the_time_of_their_call(golden_day: Day) -> None:
    for table, entity in [("clients", "client_risk"), ("portfolios", "portfolio_risk")]:
        assert {(row["measured_at"], row["measured_on"]) for row in golden_day.read_canonical(table, entity)} == {
            (NOW, NOW.date())
        }


def test_portfolio_that_changed_since_its_analysis_is_stale(golden_day: Day) -> None:
    stale = {row["portfolio_key"]: row["is_stale"] for row in golden_day.read_canonical("portfolios", "portfolio_risk")}
    assert (stale["700001"], stale["700002"]) == (False, True)


def test_total_is_money_to_the_cent(run: Run) -> None:
    day = run(NITROGEN, repeat_first_row("portfolios", {"total": 1100234}, {"total": 0.07}), *TABLES)
    worth = [row["market_value_usd"] for row in day.read_canonical("portfolios", "portfolio_risk")]
    assert worth == [Decimal("1100234.00"), Decimal("0.07")]


def test_models_of_portfolios_are_kept_apart(golden_day: Day) -> None:
    models = {row["portfolio_key"]: row["risk_model"] for row in golden_day.read_canonical("portfolios", "portfolio")}
    assert (models["700001"], models["700002"]) == ("1", "2")


# --- questionnaires ---


def test_current_questionnaire_is_the_latest_completed_one_that_is_neither_archived_nor_deleted(
    golden_day: Day,
) -> None:
    rows = [
        row for row in golden_day.read_canonical("questionnaires", "questionnaire") if row["person_key"] == "500001"
    ]
    counting = [r for r in rows if r["is_completed"] and not r["is_archived"] and not r["is_deleted"]]
    current = max(counting, key=lambda row: row["completed_at"])
    [client_risk] = [r for r in golden_day.read_canonical("clients", "client_risk") if r["person_key"] == "500001"]
    assert (current["questionnaire_key"], current["risk_number"]) == ("900002", client_risk["risk_number"])


def test_every_version_of_a_questionnaire_is_kept(golden_day: Day) -> None:
    keys = [row["questionnaire_key"] for row in golden_day.read_canonical("questionnaires", "questionnaire")]
    assert keys == ["900001", "900002", "900003", "900004", "900005"]


@pytest.mark.parametrize("flag", ["completed", "archived", "deleted"])
@pytest.mark.parametrize(("text", "ours"), [("1", True), ("0", False)])
def test_flag_of_a_questionnaire_is_a_text(run: Run, flag: str, text: str, ours: bool) -> None:
    day = run(NITROGEN, repeat_first_row("questionnaires", {flag: text}), *TABLES)
    assert [row[f"is_{flag}"] for row in day.read_canonical("questionnaires", "questionnaire")] == [ours]


@pytest.mark.parametrize("flag", ["completed", "archived", "deleted"])
def test_unknown_flag_format_is_a_dead_letter(run: Run, flag: str) -> None:
    day = run(NITROGEN, repeat_first_row("questionnaires", {flag: "maybe"}), *TABLES)
    [dead_letter] = day.dead("questionnaires")
    assert dead_letter["reasons"] == [f"expect_column_values_to_be_in_set(is_{flag})"]


@pytest.mark.parametrize(("flag", "ours"), [("1", "RQ4 simple"), ("0", "RQ4"), (None, None)])
def test_generation_follows_from_its_flag_and_is_unknown_without(flag: str | None, ours: str | None) -> None:
    assert generation(pa.array([flag], pa.string())).to_pylist() == [ours]


@pytest.mark.parametrize(
    "flags",
    [pa.array(["1", "0", "true"]), pa.array([1, 0, 1]), pa.array([True, False, True])],
    ids=["text", "0 1", "word"],
)
def test_flags_are_texts_or_numbers(flags: pa.Array) -> None:
    assert is_set(flags).to_pylist() == [True, False, True]


# --- people ---


@pytest.mark.parametrize(
    ("links", "keys"),
    [
        ([{"type": "orion", "ex_id_1": "1001"}], "orion:household:1001"),
        (
            [{"type": "orion", "ex_id_1": "1"}, {"type": "tamarac", "ex_id_1": "H1"}],
            "orion:household:1 tamarac:household:H1",
        ),
        ([{"type": "orion", "ex_id_1": None}, {"type": None, "ex_id_1": "1"}, 7], None),
        ([], None),
    ],
    ids=["one", "two", "half", "none"],
)
def test_links_to_other_systems_are_keys_of_their_households(links: list[Any], keys: str | None) -> None:
    assert list_household_keys(pa.array([json.dumps(links)])).to_pylist() == [keys]


def test_client_with_one_name_is_a_person(golden_day: Day) -> None:
    names = {row["person_key"]: row["name"] for row in golden_day.read_canonical("clients", "person")}
    assert (names["500005"], names["500003"]) == ("Sample", "Bo & Di Madeup")


def test_deleted_portfolio_is_marked_deleted(golden_day: Day) -> None:
    deleted = {row["portfolio_key"]: row["is_deleted"] for row in golden_day.read_canonical("portfolios", "portfolio")}
    assert (deleted["700001"], deleted["700005"]) == (False, True)


def test_deleted_client_has_no_risk_number(golden_day: Day) -> None:
    clients = {row["person_key"]: row["risk_number"] for row in golden_day.read_canonical("clients", "client_risk")}
    assert clients["500005"] is None


@pytest.mark.parametrize(
    "fields",
    [{"latest_alloclog_id": 7, "application_id": 3}, {"portfolios": [], "permissions": None}],
    ids=["ids", "lists"],
)
def test_field_that_is_documented_is_no_drift(run: Run, fields: Row) -> None:
    day = run(NITROGEN, client(**fields), "clients")
    assert day.partitions["clients"].manifest.undeclared == ()
