"""Person accounts in the sandbox org: one person is both an account and a contact."""

import pytest

KEY, PERSON_KEY = "Tributary_Key__c", "Tributary_Key__pc"
ACCOUNTS, RELATIONS = "FinServ__FinancialAccount__c", "AccountContactRelation"
TYPE = {"RecordType": {"DeveloperName": "PersonAccount"}}
ADA = {KEY: "P1", PERSON_KEY: "P1", "FirstName": "Ada", "LastName": "Sample", **TYPE}


@pytest.fixture
def persons(org):
    """The org, with person accounts."""
    response = org.http.post("/_admin/settings", json={"person_accounts": True})
    assert response.json() == {"person_accounts": True}
    return org


def test_an_org_has_no_person_accounts_by_default(org):
    assert org.http.get("/_admin/settings").json() == {"person_accounts": False}
    records = [{"attributes": {"type": "Account"}, "LastName": "Sample"}]
    response = org.call("PATCH", f"/composite/sobjects/Account/{KEY}", json={"records": records})
    assert (response.status_code, response.json()[0]["errorCode"]) == (400, "INVALID_FIELD")


def test_person_accounts_stay_after_a_restart_and_cannot_be_disabled(start):
    with start() as first:
        first.http.post("/_admin/settings", json={"person_accounts": True})
        first.upsert("Account", ADA)
    with start() as second:
        assert second.query("SELECT IsPersonAccount FROM Account")[0]["IsPersonAccount"] is True
        assert second.http.post("/_admin/settings", json={"person_accounts": False}).status_code == 400


def test_a_person_has_a_composed_name_and_a_contact(persons):
    account_id = persons.upsert("Account", ADA | {"PersonBirthdate": "1960-02-03", "PersonEmail": "ada@sample.example"})
    fields = "Id, Name, IsPersonAccount, PersonContactId, PersonContact.Birthdate, PersonContact.Tributary_Key__c"
    account = persons.query(f"SELECT {fields} FROM Account")[0]
    contact = persons.query("SELECT Id, AccountId, Name, Email, IsPersonAccount FROM Contact")[0]
    assert (account["Id"], account["Name"], account["IsPersonAccount"]) == (account_id[0]["id"], "Ada Sample", True)
    assert (account["PersonContactId"], contact["AccountId"]) == (contact["Id"], account["Id"])
    assert (contact["Name"], contact["Email"], contact["IsPersonAccount"]) == ("Ada Sample", "ada@sample.example", True)
    assert (account["PersonContact"]["Birthdate"], account["PersonContact"][KEY]) == ("1960-02-03", "P1")


def test_a_change_reaches_the_contact_and_a_contacts_change_the_account(persons):
    persons.upsert("Account", ADA)
    persons.upsert("Account", {KEY: "P1", "LastName": "Other-Sample", "PersonMobilePhone": "555-0100"})
    assert [(r["Name"], r["MobilePhone"]) for r in persons.query("SELECT Name, MobilePhone FROM Contact")] == [
        ("Ada Other-Sample", "555-0100")
    ]
    persons.upsert("Contact", {KEY: "P1", "FirstName": "Adah", "MobilePhone": None})
    account = persons.query("SELECT Name, PersonMobilePhone FROM Account")[0]
    assert (account["Name"], account["PersonMobilePhone"]) == ("Adah Other-Sample", None)


@pytest.mark.parametrize(
    ("record", "code", "fields"),
    [
        (ADA | {"Name": "Ada Sample"}, "INVALID_FIELD_FOR_INSERT_UPDATE", ["Name"]),
        ({KEY: "B1", "Name": "Sample Trust", "LastName": "Sample"}, "INVALID_FIELD_FOR_INSERT_UPDATE", ["LastName"]),
        ({KEY: "P1", "FirstName": "Ada", **TYPE}, "REQUIRED_FIELD_MISSING", ["LastName"]),
        (ADA | {"PersonContactId": "003Hp0000000001IAA"}, "INVALID_FIELD_FOR_INSERT_UPDATE", ["PersonContactId"]),
    ],
)
def test_what_a_person_account_does_not_take(persons, record, code, fields):
    error = persons.error("Account", record)
    assert (error["statusCode"], error["fields"]) == (code, fields)
    assert persons.query("SELECT Id FROM Contact") == []


def test_the_contacts_key_is_no_key_of_the_account(persons):
    response = persons.call("PATCH", f"/sobjects/Account/{PERSON_KEY}/P1", json={"LastName": "Sample"})
    assert "does not match an External ID" in response.json()[0]["message"]


def test_two_persons_cannot_have_one_contact_key(persons):
    persons.upsert("Account", ADA)
    error = persons.error("Account", ADA | {KEY: "P2"})
    assert (error["statusCode"], error["fields"]) == ("DUPLICATE_VALUE", [KEY])
    assert len(persons.query("SELECT Id FROM Contact")) == 1


def test_persons_and_individuals_own_accounts_and_households_do_not(persons):
    persons.upsert("Account", ADA)
    individual, household = (
        {KEY: key, "Name": "Sample", "RecordType": {"DeveloperName": kind}}
        for key, kind in (("I1", "IndustriesIndividual"), ("H1", "IndustriesHousehold"))
    )
    persons.upsert("Account", individual, household)
    results = persons.upsert(
        ACCOUNTS, *({KEY: f"A{o}", "Name": "IRA", "FinServ__PrimaryOwner__r": {KEY: o}} for o in ("P1", "I1", "H1"))
    )
    assert [row["success"] for row in results] == [True, True, False]
    assert results[2]["errors"][0]["statusCode"] == "FIELD_FILTER_VALIDATION_EXCEPTION"


def test_a_person_joins_a_household_by_the_contacts_key(persons):
    household = {KEY: "H1", "Name": "Sample Household", "RecordType": {"DeveloperName": "IndustriesHousehold"}}
    persons.upsert("Account", ADA, household)
    member = {KEY: "M1", "Account": {KEY: "H1"}, "Contact": {KEY: "P1"}, "Roles": "Client"}
    assert persons.upsert(RELATIONS, member)[0]["success"]
    members = persons.query(f"SELECT Account.Name, Contact.Name, IsDirect FROM {RELATIONS}")
    assert [(r["Account"]["Name"], r["Contact"]["Name"], r["IsDirect"]) for r in members] == [
        ("Sample Household", "Ada Sample", False)
    ]


def test_persons_are_loaded_in_bulk(persons):
    head = f"{KEY},{PERSON_KEY},RecordType.DeveloperName,FirstName,LastName,PersonBirthdate\n"
    text = head + "".join(f"P{i},P{i},PersonAccount,Ada,Sample {i},1960-01-01\n" for i in range(300))
    for _ in range(2):
        assert persons.wait(persons.load("Account", text))["numberRecordsFailed"] == 0
    assert len(persons.query("SELECT Id FROM Contact")) == len(persons.query("SELECT Id FROM Account")) == 300


def test_a_contact_goes_with_its_account_only(persons):
    account = persons.upsert("Account", ADA)[0]["id"]
    contact = persons.query("SELECT Id FROM Contact")[0]["Id"]
    assert persons.call("DELETE", f"/sobjects/Contact/{contact}").json()[0]["errorCode"] == "DELETE_FAILED"
    assert persons.call("DELETE", f"/sobjects/Account/{account}").status_code == 204
    assert persons.query("SELECT Id FROM Contact") == []


def test_merged_persons_leave_one_contact(persons):
    results = persons.upsert("Account", ADA, ADA | {KEY: "P2", PERSON_KEY: "P2", "FirstName": "Adah"})
    household = {KEY: "H1", "Name": "Sample Household", "RecordType": {"DeveloperName": "IndustriesHousehold"}}
    persons.upsert("Account", household)
    persons.upsert(RELATIONS, {KEY: "M1", "Account": {KEY: "H1"}, "Contact": {KEY: "P2"}})
    pair = {"master": results[0]["id"], "loser": results[1]["id"]}
    assert persons.http.post("/_admin/records/Account/merge", json=pair).status_code == 204
    assert [r["Name"] for r in persons.query("SELECT Name FROM Contact")] == ["Ada Sample"]
    assert persons.query(f"SELECT Contact.Name FROM {RELATIONS}")[0]["Contact"]["Name"] == "Ada Sample"
