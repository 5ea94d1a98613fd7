"""Which values the sandbox org accepts, and the messages with which it rejects others."""

import pytest

KEY, SOURCE = "Tributary_Key__c", "FinServ__SourceSystemId__c"
ACCOUNTS, HOLDINGS = "FinServ__FinancialAccount__c", "FinServ__FinancialHolding__c"
SECURITIES, TRANSACTIONS = "FinServ__Securities__c", "FinServ__FinancialAccountTransaction__c"


def test_a_new_row_needs_its_required_fields(org):
    error = org.error("Account", {KEY: "P1"})
    assert error == {
        "statusCode": "REQUIRED_FIELD_MISSING",
        "message": "Required fields are missing: [Name]",
        "fields": ["Name"],
    }


def test_a_required_field_cannot_be_cleared(org):
    org.add_person()
    assert org.error("Account", {KEY: "P1", "Name": None})["statusCode"] == "REQUIRED_FIELD_MISSING"


@pytest.mark.parametrize(
    ("field", "value", "code"),
    [
        ("Name", "x" * 81, "STRING_TOO_LONG"),
        ("FinServ__Balance__c", "12,5", "INVALID_TYPE_ON_FIELD_IN_RECORD"),
        ("FinServ__Balance__c", True, "INVALID_TYPE_ON_FIELD_IN_RECORD"),
        ("FinServ__Balance__c", "10000000000000000", "NUMBER_OUTSIDE_VALID_RANGE"),
        ("FinServ__PerformanceYTD__c", "1000", "NUMBER_OUTSIDE_VALID_RANGE"),
        ("FinServ__OpenDate__c", "2026-02-30", "INVALID_TYPE_ON_FIELD_IN_RECORD"),
        ("FinServ__OpenDate__c", "11/20/2026", "INVALID_TYPE_ON_FIELD_IN_RECORD"),
        ("FinServ__Managed__c", "perhaps", "INVALID_TYPE_ON_FIELD_IN_RECORD"),
        ("FinServ__Household__c", "no id", "MALFORMED_ID"),
        ("FinServ__Household__c", "003Hp0000000001IAA", "MALFORMED_ID"),
        ("FinServ__Household__c", "001Hp0000099999IAA", "INVALID_CROSS_REFERENCE_KEY"),
        ("CreatedDate", "2026-01-01T00:00:00Z", "INVALID_FIELD_FOR_INSERT_UPDATE"),
    ],
)
def test_a_wrong_value_is_refused_with_salesforces_code(org, field, value, code):
    org.add_person()
    org.add_account()
    error = org.error(ACCOUNTS, {KEY: "A1", field: value})
    assert (error["statusCode"], error["fields"]) == (code, [field])


def test_a_restricted_picklist_takes_only_its_values(org):
    error = org.error("Account", {KEY: "P1", "Name": "Ada Sample", "FinServ__IndividualType__c": "Crowd"})
    assert error["statusCode"] == "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST"


def test_an_unrestricted_picklist_takes_any_value(org):
    org.add_person()
    org.add_account()
    assert org.upsert(ACCOUNTS, {KEY: "A1", "FinServ__FinancialAccountType__c": "Donor Fund"})[0]["success"]


def test_decimals_are_rounded_to_the_fields_scale_and_come_back_digit_by_digit(org):
    org.add_person()
    org.add_account()
    org.upsert(HOLDINGS, {KEY: "H1", "Name": "H", "FinServ__FinancialAccount__r": {KEY: "A1"}})
    org.upsert(HOLDINGS, {KEY: "H1", "FinServ__Shares__c": "12345678901234.56785"})
    response = org.call("GET", "/query", params={"q": f"SELECT FinServ__Shares__c FROM {HOLDINGS}"})
    assert '"FinServ__Shares__c":12345678901234.5679' in response.text


@pytest.mark.parametrize(
    ("sent", "expected"),
    [("300.00", "300.0"), ("5", "5.0"), ("0.10", "0.1"), ("-0.50", "-0.5"), ("007.5", "7.5"), ("1e2", "100.0")],
)
def test_numbers_come_back_in_one_form(org, sent, expected):
    org.add_person()
    org.add_account()
    org.upsert(ACCOUNTS, {KEY: "A1", "FinServ__Balance__c": sent})
    response = org.call("GET", "/query", params={"q": f"SELECT FinServ__Balance__c FROM {ACCOUNTS}"})
    assert f'"FinServ__Balance__c":{expected}}}' in response.text


def test_a_unique_field_takes_a_value_once(org):
    first = org.upsert("Account", {KEY: "P1", "Name": "Ada", SOURCE: "S1"})[0]["id"]
    error = org.error("Account", {KEY: "P2", "Name": "Ben", SOURCE: "s1"})
    assert error["statusCode"] == "DUPLICATE_VALUE"
    assert error["message"] == f"duplicate value found: {SOURCE} duplicates value on record with id: {first}"


def test_our_key_is_case_sensitive(org):
    results = org.upsert("Account", {KEY: "p1", "Name": "Ada"}, {KEY: "P1", "Name": "Ben"})
    assert [row["created"] for row in results] == [True, True]


def test_the_packages_key_may_repeat_and_then_fails_its_upserts(org):
    org.add_person()
    for key in ("A1", "A2"):
        org.add_account(key)
        org.upsert(ACCOUNTS, {KEY: key, SOURCE: "same"})
    error = org.error(ACCOUNTS, {SOURCE: "same", "Name": "Which"}, key=SOURCE)
    assert error["statusCode"] == "DUPLICATE_EXTERNAL_ID"


def test_a_key_that_two_rows_of_a_call_carry_fails_both(org):
    results = org.upsert("Account", {KEY: "P1", "Name": "Ada"}, {KEY: "P1", "Name": "Ben"}, {KEY: "P2", "Name": "Cy"})
    assert [row["success"] for row in results] == [False, False, True]
    assert results[0]["errors"][0]["message"] == "Duplicate external id specified: P1"


def test_a_parent_that_is_not_there_fails_the_row(org):
    error = org.error(ACCOUNTS, {KEY: "A1", "Name": "IRA", "FinServ__PrimaryOwner__r": {KEY: "P9"}})
    assert error["statusCode"] == "INVALID_FIELD"
    assert error["message"] == f"Foreign key external ID: P9 not found for field {KEY} in entity Account"


def test_a_household_cannot_own_an_account(org):
    household = {KEY: "H1", "Name": "Sample Household", "RecordType": {"DeveloperName": "IndustriesHousehold"}}
    org.upsert("Account", household)
    error = org.error(ACCOUNTS, {KEY: "A1", "Name": "IRA", "FinServ__PrimaryOwner__r": {KEY: "H1"}})
    assert error["statusCode"] == "FIELD_FILTER_VALIDATION_EXCEPTION"


def test_a_security_needs_its_securities_name(org):
    assert org.error(SECURITIES, {KEY: "S1", "Name": "VTI"})["fields"] == ["FinServ__SecuritiesName__c"]


def test_a_holding_needs_its_account(org):
    assert org.error(HOLDINGS, {KEY: "H1", "Name": "H"})["fields"] == ["FinServ__FinancialAccount__c"]


def test_a_holding_cannot_move_to_another_account(org):
    org.add_person()
    org.add_account("A1")
    org.add_account("A2")
    org.upsert(HOLDINGS, {KEY: "H1", "Name": "H", "FinServ__FinancialAccount__r": {KEY: "A1"}})
    again = org.upsert(HOLDINGS, {KEY: "H1", "FinServ__FinancialAccount__r": {KEY: "A1"}})[0]
    error = org.error(HOLDINGS, {KEY: "H1", "FinServ__FinancialAccount__r": {KEY: "A2"}})
    assert (again["success"], error["statusCode"]) == (True, "INVALID_FIELD_FOR_INSERT_UPDATE")


def test_a_formula_is_read_and_never_written(org):
    org.add_person()
    org.add_account()
    org.upsert(SECURITIES, {KEY: "S1", "Name": "VTI", "FinServ__SecuritiesName__c": "Total Market"})
    parents = {"FinServ__FinancialAccount__r": {KEY: "A1"}, "FinServ__Securities__r": {KEY: "S1"}}
    org.upsert(HOLDINGS, {KEY: "H1", "Name": "H"} | parents)
    error = org.error(HOLDINGS, {KEY: "H1", "FinServ__Symbol__c": "BND"})
    assert error["statusCode"] == "INVALID_FIELD_FOR_INSERT_UPDATE"
    assert org.query(f"SELECT FinServ__Symbol__c FROM {HOLDINGS}")[0]["FinServ__Symbol__c"] == "VTI"


def test_an_automatic_name_is_numbered(org):
    org.add_person()
    org.add_account()
    row = {"FinServ__TransactionDate__c": "2026-11-20T15:00:00-05:00", "FinServ__Amount__c": "10.00"}
    org.call("POST", f"/sobjects/{TRANSACTIONS}", json=row)
    transaction = org.query(f"SELECT Name, FinServ__TransactionDate__c FROM {TRANSACTIONS}")[0]
    assert (transaction["Name"], transaction["FinServ__TransactionDate__c"]) == (
        "T-000001",
        "2026-11-20T20:00:00.000+0000",
    )


def test_all_or_none_also_keeps_the_good_rows_out(org):
    results = org.upsert("Account", {KEY: "P1", "Name": "Ada"}, {KEY: "P2"}, all_or_none=True)
    assert [row["errors"][0]["statusCode"] for row in results] == [
        "ALL_OR_NONE_OPERATION_ROLLED_BACK",
        "REQUIRED_FIELD_MISSING",
    ]
    assert org.query("SELECT Id FROM Account") == []


def test_a_column_that_the_object_lacks_refuses_the_call(org):
    records = [{"attributes": {"type": "Account"}, KEY: "P1", "Nonsense__c": 1}]
    response = org.call("PATCH", f"/composite/sobjects/Account/{KEY}", json={"records": records})
    assert (response.status_code, response.json()[0]["errorCode"]) == (400, "INVALID_FIELD")


def test_a_collection_holds_200_records_at_most(org):
    records = [{"attributes": {"type": "Account"}, KEY: str(i), "Name": "x"} for i in range(201)]
    response = org.call("PATCH", f"/composite/sobjects/Account/{KEY}", json={"records": records})
    assert response.status_code == 400


def test_an_upsert_needs_an_external_id(org):
    response = org.call("PATCH", "/sobjects/Account/Name/x", json={"Phone": "1"})
    assert "does not match an External ID" in response.json()[0]["message"]


def test_composite_refers_to_earlier_responses_and_costs_one_call(org):
    used = int(org.call("GET", "/limits").headers["Sforce-Limit-Info"].split("=")[1].split("/")[0])
    data = "/services/data/v66.0"
    owner = {"method": "PATCH", "url": f"{data}/sobjects/Account/{KEY}/P1", "referenceId": "p", "body": {"Name": "Ada"}}
    account = {
        "method": "POST",
        "url": f"{data}/sobjects/{ACCOUNTS}",
        "referenceId": "a",
        "body": {"Name": "IRA", "FinServ__PrimaryOwner__c": "@{p.id}"},
    }
    read = {"method": "GET", "url": f"{data}/query?q=SELECT+Name+FROM+{ACCOUNTS}", "referenceId": "q"}
    response = org.call("POST", "/composite", json={"compositeRequest": [owner, account, read]})
    parts = response.json()["compositeResponse"]
    assert [part["httpStatusCode"] for part in parts] == [201, 201, 200]
    assert parts[2]["body"]["records"][0]["Name"] == "IRA"
    assert response.headers["Sforce-Limit-Info"].startswith(f"api-usage={used + 1}/")


def test_composite_all_or_none_undoes_everything(org):
    data = "/services/data/v66.0/sobjects/Account"
    good = {"method": "POST", "url": data, "referenceId": "good", "body": {"Name": "Ada"}}
    bad = {"method": "POST", "url": data, "referenceId": "bad", "body": {}}
    response = org.call("POST", "/composite", json={"allOrNone": True, "compositeRequest": [good, bad]})
    codes = [part["body"][0]["errorCode"] for part in response.json()["compositeResponse"]]
    assert codes == ["PROCESSING_HALTED", "REQUIRED_FIELD_MISSING"]
    assert org.query("SELECT Id FROM Account") == []
