"""The check of an org: all is green if all is well, and each planted fault is named, and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from include.check.report import State
from include.check.salesforce import check_salesforce
from include.crm.objects.portfolio import list_mappings
from include.crm.settings import Settings
from include.vendors import named
from include.warehouse import schema
from local.postgres import Postgres
from tests.check.planted import find, list_concerns
from tests.conftest import Database, Firm
from tests.crm.conftest import ACCOUNTS, API, HOLDINGS, Crm
from tests.running_pgbouncer import needs_pgbouncer, pool, run_pgbouncer
from tests.running_sandbox import run_sandbox

GOAL, ALERT, CONTACT = "FinServ__FinancialGoal__c", "FinServ__Alert__c", "Contact"
RULES = ("validation rules", "duplicate rules")


@pytest.fixture
def crm(database: Database, tmp_path: Path) -> Iterator[Crm]:
    """An org of the test's own, and an empty warehouse: before the first run."""
    with run_sandbox(tmp_path / "sandbox", households=6) as sandbox:
        crm = Crm(database, sandbox, tmp_path / "work")
        yield crm
        crm.engine.dispose()


def load_day(org: Crm) -> None:
    """Load a day of a vendor, so that there are records to send."""
    firm = Firm(named("orion"), org.sandbox, org.database, org.work)
    firm.day()
    firm.engine.dispose()


def check(org: Crm, settings: Settings | None = None) -> Any:
    settings = settings or org.settings
    return check_salesforce(replace(org.org, settings=settings), list_mappings(settings), "a-run")


def change(sobject: str, name: str, **changes: Any) -> Callable[[Crm], None]:
    """Change a field of the org."""
    return lambda org: org.http.patch(f"/salesforce/_admin/fields/{sobject}/{name}", json=changes).raise_for_status()


def remove(sobject: str, name: str) -> Callable[[Crm], None]:
    return lambda org: org.http.delete(f"/salesforce/_admin/fields/{sobject}/{name}").raise_for_status()


def change_object(sobject: str, **changes: Any) -> Callable[[Crm], None]:
    return lambda org: org.http.patch(f"/salesforce/_admin/objects/{sobject}", json=changes).raise_for_status()


def enter_wrong_secret(org: Crm) -> None:
    org.connection = replace(org.connection, password="wrong")


@needs_pgbouncer
def test_a_pool_in_transaction_mode_is_red(crm: Crm, postgres: Postgres) -> None:
    with run_pgbouncer(postgres, "transaction") as port:
        crm.engine = schema.engine(pool(crm.database, port).url())
        finding = find(check(crm), "database session")
        crm.engine.dispose()
    assert (finding.state, "pool_mode = session" in finding.detail) == ("red", True)


def use_up_calls(org: Crm) -> None:
    allowance = {"DailyApiRequests": {"Max": 1000, "Remaining": 100}}
    org.http.post("/salesforce/_admin/limits", json=allowance).raise_for_status()


def refuse(path: str) -> Callable[[Crm], None]:
    """Let the org refuse a call, as for a user without the right."""
    return lambda org: org.fault("maintenance", f"{API}{path}", status=403, body="json")


def restrict_account_types(org: Crm) -> None:
    """Restrict a picklist whose values are the vendor's, and load some."""
    load_day(org)
    change(ACCOUNTS, "FinServ__FinancialAccountType__c", is_restricted=True, picklist=["Brokerage"])(org)


def hide(sobject: str) -> Callable[[Crm], None]:
    return lambda org: org.fault("maintenance", f"{API}/sobjects/{sobject}/describe", status=404, body="json")


FAULTS: tuple[tuple[str, Callable[[Crm], None], str, str, State], ...] = (
    ("wrong secret", enter_wrong_secret, "login", "invalid client credentials", "red"),
    ("missing field", remove("Account", "Tributary_Plan_Success__c"), "Account.Tributary_Plan_Success__c", "missing", "red"),
    ("another org", lambda org: org.database.do("insert into control.crm_org (org_id) values ('00DHp0000000002AAC')"), "org", "another org", "red"),
    ("missing key field", remove(HOLDINGS, "Tributary_Key__c"), f"{HOLDINGS}.Tributary_Key__c", "missing", "red"),
    ("key that is not an external id", change(HOLDINGS, "Tributary_Key__c", is_external_id=False), f"{HOLDINGS}.Tributary_Key__c", "not an external id", "red"),
    ("key that is not unique", change(HOLDINGS, "Tributary_Key__c", is_unique=False), f"{HOLDINGS}.Tributary_Key__c", "not unique", "amber"),
    ("key that ignores case", change(HOLDINGS, "Tributary_Key__c", is_case_sensitive=False), f"{HOLDINGS}.Tributary_Key__c", "ignores case", "amber"),
    ("several currencies", change(ACCOUNTS, "CurrencyIsoCode", type="Picklist", picklist=["EUR", "USD"]), f"{ACCOUNTS}.CurrencyIsoCode", "several currencies", "amber"),
    ("missing lookup", remove(ACCOUNTS, "FinServ__JointOwner__c"), f"{ACCOUNTS}.FinServ__JointOwner__r", "missing", "red"),
    ("lookup to another object", change(ACCOUNTS, "FinServ__JointOwner__c", reference_to="Contact"), f"{ACCOUNTS}.FinServ__JointOwner__r", "refers to Contact", "red"),
    ("field of another type", change(ACCOUNTS, "FinServ__Balance__c", type="Text"), f"{ACCOUNTS}.FinServ__Balance__c", "of the type string", "red"),
    ("date that is a time", change(ACCOUNTS, "FinServ__OpenDate__c", type="DateTime"), f"{ACCOUNTS}.FinServ__OpenDate__c", "datetime", "red"),
    ("read-only field", change(ACCOUNTS, "FinServ__Managed__c", is_read_only=True), f"{ACCOUNTS}.FinServ__Managed__c", "not createable and not updateable", "red"),
    ("formula", change(GOAL, "FinServ__TargetValue__c", formula="1 + 1", is_read_only=True), f"{GOAL}.FinServ__TargetValue__c", "formula", "red"),
    ("field that can't be changed", change(ACCOUNTS, "FinServ__JointOwner__c", is_fixed_after_insert=True), f"{ACCOUNTS}.FinServ__JointOwner__r", "not updateable", "red"),
    ("restricted picklist", change(ALERT, "FinServ__Severity__c", picklist=["Info", "Error"]), f"{ALERT}.FinServ__Severity__c", "are sent: Warning", "red"),
    ("restricted picklist of data", restrict_account_types, f"{ACCOUNTS}.FinServ__FinancialAccountType__c", "does not accept", "red"),
    ("required field", change(CONTACT, "Branch__c", is_required=True), f"{CONTACT}.Branch__c", "sends none for a new contact", "red"),
    ("short field", change(ACCOUNTS, "Name", length=40), f"{ACCOUNTS}.Name", "40 characters", "amber"),
    ("field with few decimals", change(HOLDINGS, "FinServ__Shares__c", scale=2), f"{HOLDINGS}.FinServ__Shares__c", "2 decimals", "amber"),
    ("missing record type", change_object(ACCOUNTS, record_types=[["BankingAccount", "Banking Account"]]), f"{ACCOUNTS} record type InvestmentAccount", "no such record type", "red"),
    ("missing right to create", change_object(GOAL, is_createable=False), GOAL, "not createable", "red"),
    ("object that is not visible", hide(GOAL), GOAL, "no such object", "red"),
    ("right to an object that was revoked", refuse(f"/sobjects/{GOAL}/describe"), GOAL, "denies our user", "red"),
    ("right to read limits that was revoked", refuse("/limits"), "limits", "may not read", "amber"),
    ("calls that are used up", use_up_calls, "DailyApiRequests", "stops at the reserve", "red"),
)  # fmt: skip


@pytest.mark.parametrize("has_transactions", [False, True])
def test_all_is_green_if_all_is_well(crm: Crm, has_transactions: bool) -> None:
    findings = check(crm, replace(crm.settings, has_transactions=has_transactions))
    assert list_concerns(findings) == {}
    assert {finding.subject for finding in findings if finding.state != "green"} == set()
    assert {"login", "DailyApiRequests", "Account", f"{ACCOUNTS}.FinServ__Balance__c", "clock"} <= {
        finding.subject for finding in findings if finding.state == "green"
    }


def test_all_is_green_once_records_are_loaded(crm: Crm) -> None:
    load_day(crm)
    assert list_concerns(check(crm)) == {}


def test_all_is_green_with_person_accounts(crm: Crm) -> None:
    crm.http.post("/salesforce/_admin/settings", json={"person_accounts": True}).raise_for_status()
    assert list_concerns(check(crm, replace(crm.settings, persons="person_accounts"))) == {}


def test_an_org_without_person_accounts_is_named(crm: Crm) -> None:
    concerns = list_concerns(check(crm, replace(crm.settings, persons="person_accounts")))
    assert {"Account.LastName", "Account record type PersonAccount"} <= concerns.keys()


@pytest.mark.parametrize(
    ("plant", "subject", "says", "state"), [pytest.param(*each, id=name) for name, *each in FAULTS]
)
def test_a_planted_fault_is_named_and_nothing_else(
    crm: Crm, plant: Callable[[Crm], None], subject: str, says: str, state: State
) -> None:
    plant(crm)
    findings = check(crm)
    assert list_concerns(findings) == {subject: state}
    assert says in find(findings, subject).detail


def test_active_rules_are_listed_and_not_evaluated(crm: Crm) -> None:
    for kind, sobject in (("ValidationRule", ACCOUNTS), ("DuplicateRule", "Account"), ("DuplicateRule", "Lead")):
        rule = {"kind": kind, "sobject": sobject, "name": f"No {sobject} twice"}
        crm.http.post("/salesforce/_admin/rules", json=rule).raise_for_status()
    findings = check(crm)
    assert list_concerns(findings) == {}
    validation, duplicate = (find(findings, subject) for subject in RULES)
    assert (validation.state, duplicate.state) == ("grey", "grey")
    assert f"1 active rules may reject records: {ACCOUNTS}: No {ACCOUNTS} twice" in validation.detail
    assert "1 active rules may reject records: Account: No Account twice" in duplicate.detail


def test_rules_that_the_user_may_not_see_are_not_checked(crm: Crm) -> None:
    refuse("/tooling/query")(crm)
    findings = check(crm)
    assert list_concerns(findings) == {}
    assert "does not show its rules" in find(findings, RULES[0]).detail


def test_a_check_changes_nothing(crm: Crm) -> None:
    check(crm)
    assert crm.records("Account") == {}
    assert crm.database.value("select count(*) from control.crm_state") == 0
    assert crm.database.value("select count(*) from control.api_call where vendor = 'salesforce'") > 0
