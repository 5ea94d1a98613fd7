"""Nitrogen (formerly Riskalyze): risk numbers of clients and portfolios, and the questionnaires behind them.

Source of paths and fields: public client libraries and a partner's typed model. The firm has one grant per advisor, with a single-use
refresh token. Some lists are bare arrays, others are in the field `data`. A response with HTTP 200 and the field `error` is a failure.
Risk numbers range from 1 to 99; a client's number and a portfolio's number are separate facts. A number that the vendor no longer states is
recorded as null, so that its earlier value is no longer the newest one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from include.contract import (
    BOOLEAN,
    INTEGER,
    MONEY,
    PRICE,
    STRING,
    TIMESTAMP,
    Budget,
    EntityMap,
    FanOut,
    RotatingRefresh,
    Table,
    Vendor,
    column,
    derived,
    ignored,
)
from include.vendors.arrays import build_daily_key, day_of, each, full_name

if TYPE_CHECKING:
    import pyarrow as pa

# --- what only Nitrogen needs ----------------------------------------------------------------------------------------


def list_household_keys(integrations: pa.Array) -> pa.Array:
    """Return the keys of a client's household in other systems, `<system>:household:<id>`, separated by spaces; null if there are none.

    The input is a JSON list of links: `type` names the system, `ex_id_1` is the household's id there.
    """
    import json

    import pyarrow as pa

    def keys(text: str) -> str | None:
        links = [(link.get("type"), link.get("ex_id_1")) for link in json.loads(text) if isinstance(link, dict)]
        return " ".join(f"{system}:household:{key}" for system, key in links if system and key) or None

    return each(keys, integrations, pa.string())


def is_set(flag: pa.Array) -> pa.Array:
    """Return whether a flag is set: `1` or `true`, as a number or text."""
    import pyarrow as pa
    import pyarrow.compute as pc

    return pc.is_in(flag.cast(pa.string()), value_set=pa.array(["1", "true"]))


def read_client_risk(risk_number: pa.Array, deleted: pa.Array) -> pa.Array:
    """Return the risk numbers of clients; null for a client that the vendor flags as deleted."""
    import pyarrow.compute as pc

    return pc.if_else(pc.fill_null(deleted, False), None, risk_number)


def generation(rq4_simple: pa.Array) -> pa.Array:
    """Return the version of a questionnaire: `RQ4 simple` or `RQ4`; null if the flag is missing.

    No field states the generation, but only questionnaires of the fourth generation have this flag.
    """
    import pyarrow.compute as pc

    return pc.if_else(pc.is_valid(rq4_simple), pc.if_else(is_set(rq4_simple), "RQ4 simple", "RQ4"), None)


def model(number: pa.Array) -> pa.Array:
    """Convert the ids of risk models (`data_model`) to text. Risk numbers from different models are not comparable."""
    import pyarrow as pa

    return number.cast(pa.string())


# --- tables: parents before children ---------------------------------------------------------------------------------

RISK_NUMBER = "decimal(3,0)"  # one source writes 52, another 52.0

CLIENTS = Table(
    name="clients",
    path="clients",
    key=("client_id",),
    shape=FanOut(),
    omits_nulls=True,
    columns=(
        column("client_id", "id", INTEGER, required=True),
        column("first_name", "fname", STRING),
        column("last_name", "lname", STRING, required=True),
        column("email", "email", STRING),
        column("phone", "phone", STRING),
        column("status", "status", STRING),
        column("is_deleted", "deleted", BOOLEAN),
        column("risk_number", "risk_number", RISK_NUMBER, rounded=True),
        column("integrations", "integrations", STRING),
        column("requested_at", "@requested_at", TIMESTAMP, required=True),
        *ignored("advisor_user_id, client_user_id, created, ref_id, risk_metric, risk_metric.type, prev_review_date"),
        *ignored("next_review_date, client_id, latest_alloclog_id, portfolios, questionnaires, retirements"),
        *ignored("permissions, application_id, extras, extras.type, extras.database_id, extras.contact_id"),
        *ignored("risk_metric.value, latest_current_portfolio, latest_proposed_portfolio", INTEGER),
    ),
)

PORTFOLIOS = Table(
    name="portfolios",
    path="portfolios",
    key=("portfolio_id",),
    shape=FanOut(),
    rows="data",
    omits_nulls=True,
    money="total_usd",
    references={"client_id": "clients"},
    columns=(
        column("portfolio_id", "id", INTEGER, required=True),
        column("client_id", "client_id", INTEGER, required=True),
        column("name", "name", STRING),
        column("portfolio_type", "type", STRING),
        column("total_usd", "total", MONEY),
        column("is_dirty", "is_dirty", INTEGER),
        column("is_deleted", "deleted", INTEGER),
        column("data_model", "data_model", INTEGER),
        column("analyzed_at", "analyzed", TIMESTAMP),
        column("risk_number", "analysis.risk_number", RISK_NUMBER, rounded=True),
        column("requested_at", "@requested_at", TIMESTAMP, required=True),
        *ignored("analysis.risk_metric, analysis.risk_metric.type, analysis.risk_metric.value"),
        *ignored("analysis.heatmap.diversified_risk, analysis.heatmap.risk, analysis.heatmap.reward"),
        *ignored("analysis.ttm_dividend, analysis.advisory_fee, analysis.stresstests, analysis.categories"),
        *ignored("analysis.heatmap, analysis.alloclog_id"),
        *ignored("status, created, updated, accounts, analysis, data_models, accounts_excluded, segments, tags"),
        *ignored("config, permissions, result"),
        *ignored("user_id", INTEGER),
        *ignored("analysis.return, analysis.stdev, analysis.worst, analysis.best, analysis.annual_fee", PRICE),
    ),
)

QUESTIONNAIRES = Table(
    name="questionnaires",
    path="questionnaires",
    key=("questionnaire_id",),
    shape=FanOut(),
    rows="data",
    omits_nulls=True,
    references={"client_id": "clients"},
    columns=(
        column("questionnaire_id", "id", INTEGER, required=True),
        column("client_id", "client_id", INTEGER, required=True),
        column("risk_number", "risk_number", RISK_NUMBER, rounded=True),
        column("sent_at", "sent_timestamp", TIMESTAMP),
        column("completed_at", "timestamp", TIMESTAMP),
        column("is_completed", "completed", STRING),
        column("is_archived", "archived", STRING),
        column("is_deleted", "deleted", STRING),
        column("rq4_simple", "rq4_simple", STRING),
        *ignored("user_id, advisor_id, fname, lname, sent, financial_status, financial_goals, retirement_year, ai"),
        *ignored("birth_year, retirement_age", INTEGER),
    ),
)

# --- canonical entities ----------------------------------------------------------------------------------------------

MAPS = (
    EntityMap(
        "person",
        "clients",
        {
            "person_key": "client_id",
            "name": derived(full_name, "first_name", "last_name"),
            "first_name": "first_name",
            "last_name": "last_name",
            "email": "email",
            "phone": "phone",
            "cross_references": derived(list_household_keys, "integrations"),
        },
    ),
    EntityMap(
        "client_risk",
        "clients",
        {
            "client_risk_key": derived(build_daily_key, "client_id", "requested_at"),
            "person_key": "client_id",
            "risk_number": derived(read_client_risk, "risk_number", "is_deleted"),
            "measured_on": derived(day_of, "requested_at"),
            "measured_at": "requested_at",
        },
    ),
    EntityMap(
        "portfolio",
        "portfolios",
        {
            "portfolio_key": "portfolio_id",
            "person_key": "client_id",
            "name": "name",
            "portfolio_type": "portfolio_type",
            "risk_model": derived(model, "data_model"),
            "is_deleted": derived(is_set, "is_deleted"),
        },
    ),
    EntityMap(
        "portfolio_risk",
        "portfolios",
        {
            "portfolio_risk_key": derived(build_daily_key, "portfolio_id", "requested_at"),
            "portfolio_key": "portfolio_id",
            "risk_number": "risk_number",
            "market_value_usd": "total_usd",
            "is_stale": derived(is_set, "is_dirty"),
            "analyzed_at": "analyzed_at",
            "measured_on": derived(day_of, "requested_at"),
            "measured_at": "requested_at",
        },
    ),
    EntityMap(
        "questionnaire",
        "questionnaires",
        {
            "questionnaire_key": "questionnaire_id",
            "person_key": "client_id",
            "version": derived(generation, "rq4_simple"),
            "risk_number": "risk_number",
            "sent_at": "sent_at",
            "completed_at": "completed_at",
            "is_completed": derived(is_set, "is_completed"),
            "is_archived": derived(is_set, "is_archived"),
            "is_deleted": derived(is_set, "is_deleted"),
        },
    ),
)

NITROGEN = Vendor(
    name="nitrogen",
    title="Nitrogen (Riskalyze)",
    notes=__doc__,
    login=RotatingRefresh(),
    tables=(CLIENTS, PORTFOLIOS, QUESTIONNAIRES),
    maps=MAPS,
    cron="0 5 1 1,4,7,10 *",
    ranks={"": 50},
    # The vendor publishes no limit; this is ours, and the connection may lower it.
    budget=Budget(calls_per_minute=120, burst=10),
    error_field="error",
)
