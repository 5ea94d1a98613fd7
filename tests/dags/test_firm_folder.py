"""A firm's folder with one change of each kind, through the DAGs to the warehouse and the org."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest

from include.firm.content import compute_hash
from include.firm.folder import read_all
from tests.check.planted import fault
from tests.conftest import Firm
from tests.dags.airflow_home import ROOT, read_lines, run, said, whole_run

pytestmark = pytest.mark.airflow

ANNA = "anna@firm.example"
ACCOUNTS = "FinServ__FinancialAccount__c"
FILES = {
    "mapping.yaml": f"""
household:
  record_owner: {{default: {ANNA}}}
  fields:
    BillingCountry: drop
    Phone: {{name: Client_Phone__c}}
    BillingCity: {{owner: firm}}
    Assets__c: {{column: mart.aum_by_household.aum_usd, daily: true}}
account:
  record_type: BankingAccount
  fields:
    FinServ__Status__c: {{values: {{Open: In force, Closed: Ended}}}}
membership:
  send: false
""",
    "vendors.yaml": """
orion:
  paths: {accounts: portfolio/accounts}
  columns: {accounts: {custodian: Custodian Bank}}
  codes: {transactions: {type_code: {XBUY: BUY}}}
  bounds: {accounts: {cash_usd: {max: 900_000_000}}}
""",
    "thresholds.yaml": "excess_cash_percent: 0.01\nexcess_cash_floor_usd: 1\n",
    "alerts.yaml": "warning: tributary_alerts_operations\n",
    "rules/firm_worth.py": """
from decimal import Decimal

import pyarrow.compute as pc

from include.rules.finding import about_accounts, dollars, usd
from include.rules.rule import Rule


def find_worth(snapshot, policy):
    rows = snapshot.accounts.filter(pc.greater(snapshot.accounts["market_value_usd"], usd(Decimal(1))))
    return about_accounts(rows, rows["market_value_usd"], "The account holds ", dollars(rows["market_value_usd"]), ".")


RULES = (Rule("firm_worth", find_worth, "warning", "Greet the client", 3),)
""",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        path = tmp_path / "firm" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path / "firm"


def add_field(firm: Firm, name: str, **attributes: Any) -> None:
    firm.sandbox.http.patch(f"/salesforce/_admin/fields/Account/{name}", json=attributes).raise_for_status()


def read_records(firm: Firm, sobject: str, entity: str = "") -> list[dict[str, Any]]:
    lines = firm.sandbox.http.get(f"/salesforce/_admin/records/{sobject}").content.splitlines()
    return [record for record in map(orjson.loads, lines) if f":{entity}" in record.get("Tributary_Key__c", "")]


@pytest.fixture
def environ(airflow: dict[str, str], folder: Path, tmp_path: Path) -> dict[str, str]:
    """The environment of an Airflow process with the firm's folder, and temporary files of the test's own."""
    return airflow | {"TRIBUTARY_FIRM": str(folder), "TMPDIR": str(tmp_path)}


def prepare(firm: Firm, tmp_path: Path) -> dict[str, str]:
    """Let the vendor and the org differ from our declarations; return the id of a transaction and of a user."""
    add_field(firm, "Client_Phone__c", length=40)
    add_field(firm, "Assets__c", type="Currency", scale=2)
    consumer = {"client_id": ANNA, "client_secret": "sandbox-only", "username": ANNA}
    user = httpx.post(f"{firm.sandbox.url}/salesforce/_admin/consumers", json=consumer).json()["user_id"]
    fault("/portfolio/accounts", "field_renamed", field="custodian", to="Custodian Bank")(firm)
    bought = next(row for row in firm.sandbox.rows("Portfolio/Transactions") if row["typeCode"] == "BUY")
    firm.sandbox.admin("orion/set_fields", table="transactions", id=bought["id"], set={"typeCode": "XBUY"})
    asset = firm.sandbox.rows("Portfolio/Assets")[0]
    firm.sandbox.admin("orion/set_fields", table="assets", id=asset["id"], set={"currentValue": -20_000_000})
    return {"transaction": str(bought["id"]), "user": user}


def test_one_change_of_each_kind_works_through_to_the_org(
    environ: dict[str, str], today: Firm, folder: Path, tmp_path: Path
) -> None:
    assert [str(each) for each in read_all(folder)[1]] == []
    ids = prepare(today, tmp_path)
    routed = {"conn_type": "generic", "password": f"file://{tmp_path / 'operations.jsonl'}"}
    environ |= {"AIRFLOW_CONN_TRIBUTARY_ALERTS_OPERATIONS": json.dumps(routed)}
    output = run(environ, whole_run("orion", "salesforce"), timeout=280)
    assert [line.split()[0] for line in read_lines(output, "RUN")] == ["success", "success"], output[-3000:]

    rows = today.database.rows
    # vendors.yaml: a column, a code and a bound (the path is the one that the sandbox serves, in lower case)
    assert today.database.value("select count(*) from warehouse.account where custodian is null") == 0
    [bought] = rows(
        "select type_code, quantity from warehouse.transaction where transaction_key = :key", key=ids["transaction"]
    )
    assert (bought["type_code"], bought["quantity"] > 0) == ("XBUY", True)
    expectations = {
        row["expectation"] for row in rows("select expectation from control.validation where table_name = 'accounts'")
    }
    assert "expect_column_values_to_be_between(cash_usd): -10000000 to 900000000" in expectations
    # thresholds.yaml, rules and alerts.yaml
    findings = {row["rule"]: row["n"] for row in rows("select rule, count(*) as n from control.finding group by 1")}
    assert findings["firm_worth"] > 10
    assert findings["excess_cash"] > 10
    [alert] = (tmp_path / "operations.jsonl").read_text().splitlines()
    assert json.loads(alert)["title"].startswith("Warning")
    assert not (tmp_path / "alerts.jsonl").exists()
    # the org: mapping.yaml, the alerts and the Tasks of the rule
    households = read_records(today, "Account", "household:")
    assert {household["OwnerId"] for household in households} == {ids["user"]}
    assert {household.get("BillingCountry") for household in households} == {None}
    assert {household.get("Phone") for household in households} == {None}
    assert any(household.get("Client_Phone__c") for household in households)
    assert any(household.get("Assets__c") for household in households)
    accounts = read_records(today, ACCOUNTS)
    assert {account["FinServ__Status__c"] for account in accounts} <= {"In force", "Ended"}
    assert len({account["RecordTypeId"] for account in accounts}) == 1
    assert read_records(today, "AccountContactRelation", "membership:") == []
    messages = {each["FinServ__Message__c"] for each in read_records(today, "FinServ__Alert__c")}
    assert {"firm worth", "excess cash"} <= messages
    assert "Greet the client" in {task["Subject"] for task in read_records(today, "Task")}
    # the ledger
    assert rows("select distinct firm_hash from control.ledger") == [{"firm_hash": compute_hash(folder)}]


_IMPORT = """
from airflow.dag_processing.dagbag import DagBag
bag = DagBag()
print("DAGS", len(bag.dags))
for path, error in sorted(bag.import_errors.items()):
    print("ERROR", error.replace(chr(10), " | "))
"""


def test_with_a_mistake_in_the_folder_no_dag_is_imported(environ: dict[str, str], folder: Path) -> None:
    (folder / "thresholds.yaml").write_text("plan_days: 0\nexcess_cash: 1\n")
    output = run(environ, _IMPORT)
    assert said(output, "DAGS") == "0"
    errors = read_lines(output, "ERROR")
    assert len(errors) == len([*(ROOT / "dags").glob("*.py")])
    assert all("2 mistakes in the firm's folder" in error for error in errors)
    assert all("thresholds.yaml:1: plan_days must be between" in error for error in errors)


_ROUTES = """
from tributary.connections import alert_urls, rule_policy
print("URLS", alert_urls("failed"), alert_urls("digest"))
"""


def test_an_alert_whose_route_is_missing_goes_to_the_usual_addresses(environ: dict[str, str], folder: Path) -> None:
    (folder / "alerts.yaml").write_text("failed: tributary_alerts_nowhere\n")
    output = run(environ | {"PYTHONPATH": f"{ROOT}:{ROOT / 'plugins'}"}, _ROUTES)
    usual = json.loads(environ["AIRFLOW_CONN_TRIBUTARY_ALERTS"])["password"]
    assert said(output, "URLS") == f"['{usual}'] ['{usual}']"


_CHANGE = """
from include.errors import ConfigurationError
from tributary.operations.thresholds import _refuse_those_of_the_folder
_refuse_those_of_the_folder({"plan_days": {}})
try:
    _refuse_those_of_the_folder({"plan_days": {}, "excess_cash_percent": {}})
except ConfigurationError as error:
    print("REFUSED", error)
"""


def test_the_page_refuses_to_change_a_threshold_of_the_folder(environ: dict[str, str]) -> None:
    output = run(environ | {"PYTHONPATH": f"{ROOT}:{ROOT / 'plugins'}"}, _CHANGE)
    assert said(output, "REFUSED").endswith("change them there: excess_cash_percent (thresholds.yaml:1)")
