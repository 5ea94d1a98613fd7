"""Orgs without the managed package: the standard objects of Financial Services Cloud, and a plain org."""

import pytest

from tests.sandbox.salesforce.conftest import KEY, run_org

ACCOUNT = {"Name": "Sample IRA", "FinancialAccountNumber": "xxxx1234", "Type": "Investment Account"}
PARTY = {"FinancialAccount": {KEY: "A1"}, "Account": {KEY: "P1"}, "Role": "Owner"}
TRADE = {"FinancialAccount": {KEY: "A1"}, "Amount": "5.00", "TransactionDate": "2026-11-20T12:00:00Z"}


@pytest.fixture(scope="module")
def standard(tmp_path_factory, key_pair):
    """An org with the standard objects, a person P1 and a financial account A1."""
    with run_org(tmp_path_factory.mktemp("standard"), key_pair, "standard_objects") as org:
        assert org.upsert("Account", {KEY: "P1", "Name": "Ada Sample"})[0]["success"]
        assert org.upsert("FinancialAccount", {KEY: "A1", **ACCOUNT})[0]["success"]
        yield org


@pytest.mark.parametrize(
    ("sobject", "record", "code"),
    [
        ("FinancialAccount", {"Name": "Sample IRA", "Type": "Investment Account"}, "REQUIRED_FIELD_MISSING"),
        ("FinancialAccountParty", {k: v for k, v in PARTY.items() if k != "Role"}, "REQUIRED_FIELD_MISSING"),
        ("FinancialAccountTransaction", TRADE, "REQUIRED_FIELD_MISSING"),
        ("FinancialAccountTransaction", TRADE | {"DebitCreditIndicator": "Buy"}, "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST"),
        ("FinancialAccountParty", PARTY | {"Account": {KEY: "P9"}}, "INVALID_FIELD"),
        ("PartyRelationshipGroup", {"Name": "Sample"}, "REQUIRED_FIELD_MISSING"),
    ],
)  # fmt: skip
def test_a_standard_object_rejects_what_salesforce_rejects(standard, sobject, record, code):
    assert standard.error(sobject, {KEY: "X1", **record})["statusCode"] == code


def test_whether_a_role_is_active_is_salesforces_own(standard):
    error = standard.error("FinancialAccountParty", {KEY: "X1", **PARTY, "IsRoleActive": True})
    assert error["statusCode"] == "INVALID_FIELD_FOR_INSERT_UPDATE"


def test_a_party_never_moves_to_another_account(standard):
    assert standard.upsert("FinancialAccount", {KEY: "A2", **ACCOUNT})[0]["success"]
    assert standard.upsert("FinancialAccountParty", {KEY: "O1", **PARTY})[0]["success"]
    error = standard.error("FinancialAccountParty", {KEY: "O1", "FinancialAccount": {KEY: "A2"}})
    assert error["statusCode"] == "INVALID_FIELD_FOR_INSERT_UPDATE"


def test_a_financial_account_has_no_record_types(standard):
    records = [{"attributes": {"type": "FinancialAccount"}, KEY: "A1", "RecordType": {"DeveloperName": "Investment"}}]
    response = standard.call("PATCH", f"/composite/sobjects/FinancialAccount/{KEY}", json={"records": records})
    assert (response.status_code, response.json()[0]["errorCode"]) == (400, "INVALID_FIELD")
    assert standard.call("GET", "/sobjects/FinancialAccount/describe").json()["recordTypeInfos"] == []


def test_a_plain_org_has_neither_and_a_contact_has_one_relation_with_its_account(tmp_path, key_pair):
    with run_org(tmp_path, key_pair, "plain") as org:
        names = {each["name"] for each in org.call("GET", "/sobjects").json()["sobjects"]}
        assert not [name for name in names if name.startswith(("FinServ__", "Financial"))]
        org.upsert("Account", {KEY: "H1", "Name": "Sample Household"})
        org.upsert("Contact", {KEY: "P1", "LastName": "Sample", "Account": {KEY: "H1"}})
        [relation] = org.query("SELECT IsDirect FROM AccountContactRelation")
        assert relation["IsDirect"] is True
        relation = {
            "AccountId": org.query("SELECT Id FROM Account")[0]["Id"],
            "ContactId": org.query("SELECT Id FROM Contact")[0]["Id"],
        }
        response = org.call("POST", "/sobjects/AccountContactRelation", json=relation)
        assert response.json()[0]["errorCode"] == "DUPLICATE_VALUE"


def test_an_org_keeps_its_shape(tmp_path, key_pair):
    with run_org(tmp_path, key_pair, "plain"):
        pass
    with run_org(tmp_path, key_pair) as org:
        assert "Tributary_Account__c" in {each["name"] for each in org.call("GET", "/sobjects").json()["sobjects"]}
    with pytest.raises(ValueError, match="holds an org of the shape plain, not managed_package"):
        run_org(tmp_path, key_pair, "managed_package").__enter__()
