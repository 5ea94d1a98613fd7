"""The check of a vendor: all is green if all is well, and each planted fault is named, and nothing else."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trustme

from include.check.certificate import check_certificate
from include.check.report import Findings
from include.check.vendor import check_vendor
from sandbox.orion.app import PARTNERS
from tests.check.planted import Planted, connect, edit, fault, find, list_concerns, turn_machine_clock
from tests.conftest import Firm
from tests.running_tls import serve_tls

ASSETS, ACCOUNTS, TRANSACTIONS = "/portfolio/assets", "/portfolio/accounts", "/portfolio/transactions"
MASKING = PARTNERS[0]


def give_wrong_grant(firm: Firm) -> None:
    grants = json.loads(firm.connection.extra["grants"])
    connect(extra_grants=json.dumps(grants | {max(grants): "revoked"}))(firm)


FAULTS = (
    Planted("wrong password", "orion", connect(password="wrong"), "login", "check user, password"),
    Planted("wrong client secret", "orion", connect(extra_client_secret="wrong"), "login", "client id and secret"),
    Planted("wrong user of a basic login", "moneyguidepro", connect(login="nobody"), "login", "refuses"),
    Planted("missing scope", "docusign", edit("consent", is_given=False), "login", "error=consent_required"),
    Planted("revoked grant", "nitrogen", give_wrong_grant, "login 8102", "refused"),
    Planted(
        "no right to a table", "orion", fault(ASSETS, "maintenance", status=403, body="json"), "assets", "denies access"
    ),
    Planted("wrong path", "orion", connect(extra_paths='{"assets": "portfolio/holdings"}'), "assets", "check the path"),
    Planted("failing table", "orion", fault(ASSETS, "server_error", status=500), "assets", "The vendor failed"),
    Planted(
        "renamed field", "orion", fault(ACCOUNTS, "field_renamed", field="currentValue", to="currentValueUsd"),
        "accounts.currentValue", "currentValueUsd may be its new name",
    ),
    Planted("missing field", "orion", fault(ACCOUNTS, "field_removed", field="custodian"), "accounts.custodian", "missing"),
    Planted("renamed column of a report", "tamarac", fault("holdings*", "field_renamed", field="CUSIP", to="Cusip Id"), "holdings.CUSIP", "Cusip Id"),
    Planted("new field", "orion", fault(ACCOUNTS, "field_added", field="esgScore"), "accounts.esgScore", "not declared", "amber"),
    Planted("other type", "orion", fault(ACCOUNTS, "field_retyped", field="isSleeveAccount"), "accounts.isSleeveAccount", "not bool"),
    Planted("number as N/A", "orion", fault(ASSETS, "poison", field="currentValue", value="N/A", share=0.1), "assets.currentValue", "A/A"),
    Planted("new code", "orion", fault(TRANSACTIONS, "poison", field="typeCode", value="XYZ", share=0.1), "transactions.typeCode", "unknown code: XYZ"),
    Planted("key that is not unique", "orion", fault(ACCOUNTS, "poison", field="id", value=7, share=0.1), "accounts.id", "key is not unique"),
    Planted("surplus decimals", "nitrogen", fault("/portfolios", "poison", field="total", value=1.005), "portfolios.total", "surplus decimals"),
    Planted("placeholder", "orion", fault(ACCOUNTS, "poison", field="custodian", value="N/A", share=0.1), "accounts.custodian", "N/A", "amber"),
    Planted("sentinel date", "emoney", fault("/clients", "poison", field="dateOfBirth", value="0001-01-01"), "clients.dateOfBirth", "0001-01-01"),
    Planted("masked text", "orion", fault(ACCOUNTS, "poison", field="name", value="***-**-1234", share=0.1), "accounts.name", "masked", "amber"),
    Planted("masked account numbers", "emoney", fault("/accounts", "poison", field="accountNumber", value="xxxx1234"), "accounts.accountNumber", "masked", "amber"),
    Planted("ignored page size", "orion", fault(TRANSACTIONS, "page_size_ignored"), "transactions page", "ignores the page size", "amber"),
    Planted("clock 10 minutes off", "orion", turn_machine_clock(minutes=-10), "clock", "0:10:00 behind"),
)  # fmt: skip


def test_all_is_green_if_all_is_well(firm: Firm) -> None:
    findings = check_vendor(firm.vendor_run(firm.new_run(on_demand=True)))
    assert list_concerns(findings) == {}
    skipped = {finding.subject for finding in findings if finding.state == "grey"}
    assert skipped <= {"rate limit", "deliveries"}
    green = {finding.subject for finding in findings if finding.state == "green"}
    assert green >= {table.name for table in firm.vendor.requested_tables} | {"clock", "latency"}


def test_a_check_leaves_nothing_but_its_calls(firm: Firm) -> None:
    names = firm.database.rows(
        "select relname as name from pg_class where relkind = 'r'"
        " and relnamespace = (select oid from pg_namespace where nspname = 'control')"
    )
    query = " union all ".join(f"select '{row['name']}' as name, count(*) from control.{row['name']}" for row in names)
    before = {row["name"]: row["count"] for row in firm.database.rows(query)}
    check_vendor(firm.vendor_run(firm.new_run(on_demand=True)))
    after = {row["name"]: row["count"] for row in firm.database.rows(query)}
    assert {name for name in after if after[name] != before[name]} <= {"api_call", "rate_budget", "refresh_token"}
    assert not (firm.folder / "staging").exists()


@pytest.mark.parametrize(
    ("vendor", "planted"), [pytest.param(each.vendor, each, id=each.name) for each in FAULTS], indirect=["vendor"]
)
def test_a_planted_fault_is_named_and_nothing_else(firm: Firm, planted: Planted) -> None:
    planted.plant(firm)
    findings = check_vendor(firm.vendor_run(firm.new_run(on_demand=True)))
    assert list_concerns(findings) == {planted.subject: planted.state}
    finding = find(findings, planted.subject)
    assert planted.says in finding.detail
    assert finding.action


@pytest.mark.parametrize("vendor", ["orion"], indirect=True)
def test_masked_values_of_a_partner_without_the_right_are_named(firm: Firm) -> None:
    connect(extra_client_id=MASKING.client_id, extra_client_secret=MASKING.client_secret)(firm)
    concerns = list_concerns(check_vendor(firm.vendor_run(firm.new_run(on_demand=True))))
    assert concerns
    assert set(concerns.values()) == {"amber"}


@pytest.mark.parametrize(
    ("days", "state", "says"), [(-1, "red", "expired"), (3, "amber", "expires in"), (90, "green", "valid for")]
)
def test_the_certificate_of_a_host(
    days: int, state: str, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    issue, now = trustme.CA.issue_cert, datetime.now(UTC)
    ends_at = now + timedelta(days=days, minutes=1)

    def issue_until(authority: trustme.CA, *names: str) -> trustme.LeafCert:
        return issue(authority, *names, not_before=now - timedelta(days=9), not_after=ends_at)

    async def app(scope: object, receive: object, send: object) -> None:
        raise AssertionError("no request is sent")

    monkeypatch.setattr(trustme.CA, "issue_cert", issue_until)
    with serve_tls(app, tmp_path) as place:  # type: ignore[arg-type]
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "ca.pem"))
        findings = Findings()
        assert check_certificate(f"https://{place}", findings) == (state != "red")
    [finding] = findings.list()
    assert (finding.subject, finding.state) == ("certificate 127.0.0.1", state)
    assert says in finding.detail
