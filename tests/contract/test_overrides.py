"""A firm's overrides of a vendor apply to every call, and can only lower the call budget."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from include.connection import Connection
from include.contract import Budget, Vendor
from include.contract.overrides import apply_overrides
from include.errors import ConfigurationError, RateLimited
from include.pipeline import pull, vendor_day
from include.pipeline.run import Run, Site, VendorRun
from include.staging.partitions import Staging
from include.vendors import VENDORS
from include.vendors.emoney import EMONEY
from include.vendors.moneyguidepro import MONEYGUIDEPRO
from include.vendors.orion import ORION
from include.vendors.tamarac import TAMARAC
from include.warehouse import schema
from tests.conftest import Database
from tests.extract.vendor_server import Answer, RecordedCall, Reply, listen
from tests.firm_keys import KEYRING
from tests.vendors.golden_day import BEFORE, DAY, NOW, goldens, reply_from

RUN = Run("run", DAY, BEFORE)


@pytest.fixture
def site(database: Database, tmp_path: Path) -> Iterator[Site]:
    engine = schema.engine(database.url())
    yield Site(engine, Staging(str(tmp_path), KEYRING.staging), KEYRING, lambda: NOW)
    engine.dispose()


def stage(site: Site, vendor: Vendor, table: str, answer: Answer, **extra: Any) -> list[dict[str, Any]]:
    """Pull a table through a connection with these extra fields; return its rows."""
    with listen(answer) as listener:
        fields = {"institution_id": "1"} | {name: json.dumps(value) for name, value in extra.items()}
        connection = Connection(listener.url, "user", "password", fields)
        partition = vendor_day.stage(VendorRun(site, vendor, connection, RUN), table)
    return [row for _, part in partition.rows() for row in part.to_pylist()]


def test_lower_budget_is_kept_to(site: Site) -> None:
    answer = reply_from(MONEYGUIDEPRO, goldens(MONEYGUIDEPRO))
    slow = {"calls_per_minute": 0.1}
    assert stage(site, MONEYGUIDEPRO, "households", answer, budget=slow)  # one call
    with pytest.raises(RateLimited):
        stage(site, MONEYGUIDEPRO, "meters", answer, budget=slow)


def test_budget_is_lowered_in_part() -> None:
    lower = apply_overrides(EMONEY, {"budget": '{"calls_per_minute": 30, "calls_per_hour": {"monte_carlo": 100}}'})
    assert lower.budget == Budget(calls_per_minute=30, burst=10, calls_per_hour={"monte_carlo": 100})


def test_overrides_change_table_paths_and_column_names(site: Site) -> None:
    rows = json.loads(goldens(TAMARAC)["accounts"])
    for row in rows["items"]:
        row["Value"] = row.pop("marketValue", None)

    def answer(call: RecordedCall) -> Reply:
        return Reply(rows) if call.path == "/v9/firm/accounts" else Reply({}, 404)

    chosen = {"paths": {"accounts": "v9/firm/accounts"}, "columns": {"accounts": {"market_value_usd": "Value"}}}
    worth = [row["market_value_usd"] for row in stage(site, TAMARAC, "accounts", answer, **chosen)]
    assert any(worth)
    vendor_run = VendorRun(site, TAMARAC, Connection("", "", ""), RUN)
    partition = vendor_run.open_staged("accounts")
    assert partition is not None
    assert vendor_day.validate(vendor_run, [partition], rows_only=True) == {"accounts": 1}  # as in the goldens


def test_report_s_headers_are_the_firm_s(site: Site) -> None:
    responses = goldens(TAMARAC)
    renamed = responses["holdings"].replace(b"Account ID", b"Acct", 1)
    answer = reply_from(TAMARAC, responses | {"holdings": renamed})
    assert stage(site, TAMARAC, "holdings", answer, columns={"holdings": {"account_id": "Acct"}})


def test_account_number_as_a_key_is_staged_as_its_hash_and_alike_in_every_table(site: Site) -> None:
    responses = goldens(TAMARAC)
    fields = {"accounts": "accountId", "holdings": "Account ID"}
    columns = {
        table.name: {"account_id": {"field": fields.get(table.name, table.named("account_id").source), "hashed": True}}
        for table in TAMARAC.tables
        if "account_id" in {col.name for col in table.columns}
    }
    answer = reply_from(TAMARAC, responses)
    accounts, holdings = (
        {row["account_id"] for row in stage(site, TAMARAC, table, answer, columns=columns)} for table in fields
    )
    clear = [row["accountId"] for row in json.loads(responses["accounts"])["items"]]
    assert accounts < {site.redactor.hash_key(number) for number in clear}  # the goldens have a dead row
    assert holdings & accounts


def test_override_changes_the_path_of_the_closed_day(site: Site) -> None:
    def answer(call: RecordedCall) -> Reply:
        return Reply({"lastSuccessfulDate": "2026-11-20"}) if call.path == "/v2/sync" else Reply({}, 404)

    with listen(answer) as listener:
        connection = Connection(listener.url, "user", "password", {"paths": '{"closed": "v2/sync"}'})
        assert pull.request_closed_day(VendorRun(site, TAMARAC, connection, RUN)) == DAY


@pytest.mark.parametrize("vendor", VENDORS, ids=lambda vendor: vendor.name)
def test_without_overrides_the_declaration_applies(vendor: Vendor) -> None:
    assert apply_overrides(vendor, {"client_id": "4711"}) is vendor


def test_limits_are_chosen_in_part() -> None:
    wider = apply_overrides(ORION, {"limits": '{"rows": 90000000}'})
    assert wider.limits == replace(ORION.limits, rows=90_000_000)


def test_what_is_configured_stays_as_it_is() -> None:
    extra = {
        "budget": '{"burst": 2}',
        "paths": '{"accounts": "v2/accounts", "closed": "v2/sync"}',
        "columns": '{"accounts": {"cash_usd": "Cash"}}',
    }
    once = apply_overrides(TAMARAC, extra)
    assert once.closed is not None
    assert (once.budget.burst, once.table("accounts").path, once.closed.path) == (2, "v2/accounts", "v2/sync")
    assert apply_overrides(once, extra) == once


@pytest.mark.parametrize(
    ("vendor", "name", "value", "says"),
    [
        (ORION, "budget", '{"calls_per_minute": 601}', "calls_per_minute is 601, not a number above 0 and up to 600"),
        (ORION, "budget", '{"calls_per_minute": 0}', "above 0"),
        (ORION, "budget", '{"burst": true}', "burst is True"),
        (ORION, "budget", '{"calls_per_minute": NaN}', "is nan"),
        (ORION, "budget", '{"calls_per_second": 1}', "calls_per_second; known: calls_per_minute, burst"),
        (EMONEY, "budget", '{"calls_per_hour": {"monte_carlo": 251}}', "up to 250"),
        (EMONEY, "budget", '{"calls_per_hour": 5}', "not a JSON object"),
        (ORION, "budget", "few", "Invalid `budget`"),
        (TAMARAC, "paths", '{"acounts": "x"}', "unknown name acounts"),
        (TAMARAC, "paths", '{"accounts": "https://elsewhere.example/accounts"}', "not a path below the base URL"),
        (TAMARAC, "paths", '{"accounts": "../accounts"}', "not a path below the base URL"),
        (EMONEY, "paths", '{"plans": "plans/{other}"}', "the path of plans must contain {client_id}"),
        (TAMARAC, "columns", '{"accounts": {"cash": "Cash"}}', "unknown name accounts.cash"),
        (TAMARAC, "columns", '{"accounts": {"cash_usd": ""}}', "not a field name"),
        (
            TAMARAC,
            "columns",
            '{"accounts": {"cash_usd": "marketValue"}}',
            "accounts: two columns declare the same field",
        ),
        (TAMARAC, "columns", '{"accounts": {"cash_usd": {"field": "Cash", "hashed": true}}}', "only a text column"),
        (TAMARAC, "columns", '{"accounts": {"name": {"field": "Name", "hashed": "yes"}}}', "only a text column"),
        (TAMARAC, "columns", '{"accounts": {"name": {"hashed": true}}}', "not a field name"),
        (
            EMONEY,
            "columns",
            '{"clients": {"client_id": {"field": "id", "hashed": true}}}',
            "requests contain the value",
        ),
        (TAMARAC, "columns", '{"accounts": {"account_id": {"field": "No", "hashed": true}}}', "must also be hashed"),
        (EMONEY, "columns", '{"plans": {"client_id": "owner"}}', "unknown name plans.client_id"),
        (ORION, "limits", '{"pages": 5}', "unknown name pages; known: response_seconds"),
        (ORION, "limits", '{"rows": 0}', "rows is 0, not a whole number above 0"),
        (ORION, "limits", '{"rows": 1.5}', "rows is 1.5"),
    ],
)
def test_nonsense_is_spoken_of(vendor: Vendor, name: str, value: str, says: str) -> None:
    with pytest.raises(ConfigurationError, match=f"Invalid `{name}` in the connection's extra") as error:
        apply_overrides(vendor, {name: value})
    assert says in str(error.value)


def test_retained_column_is_sealed_in_the_table_and_in_its_records() -> None:
    extra = {"retained": '{"registrations": ["tax_id"], "accounts": ["account_number"]}'}
    vendor = apply_overrides(ORION, extra)
    assert vendor.table("registrations").named("tax_id").kind == "retained"
    assert vendor.table("clients") == ORION.table("clients")
    [person] = vendor.maps_to("person")
    assert person.columns["tax_id_sealed"] == "tax_id_sealed"
    assert apply_overrides(vendor, extra) == vendor


def test_split_record_carries_the_sealed_value() -> None:
    [account] = apply_overrides(TAMARAC, {"retained": '{"accounts": ["account_number"]}'}).maps_to("account")
    assert account.takes[-1] == "account_number_sealed"


@pytest.mark.parametrize(
    ("vendor", "retained", "fault"),
    [
        (ORION, {"registrations": ["name"]}, "unknown name registrations.name; known: registrations.tax_id"),
        (ORION, {"persons": ["tax_id"]}, "unknown name persons"),
        (ORION, {"registrations": "tax_id"}, "not a list of columns"),
        (ORION, {"clients": ["tax_id"]}, "no record in the warehouse has it"),
        (EMONEY, {"accounts": ["account_number"]}, "its responses are stored without them"),
    ],
    ids=["not sensitive", "no table", "no list", "not mapped", "per parent"],
)
def test_invalid_retained_column_is_refused(vendor: Vendor, retained: object, fault: str) -> None:
    with pytest.raises(ConfigurationError, match=fault):
        apply_overrides(vendor, {"retained": json.dumps(retained)})
