"""Contacts and their accounts in the sandbox org."""

import pytest

KEY, RELATIONS = "Tributary_Key__c", "AccountContactRelation"


@pytest.fixture
def family(org):
    """Two accounts, H1 and H2, and a contact of H1 with the key C1."""
    org.upsert("Account", {KEY: "H1", "Name": "One"}, {KEY: "H2", "Name": "Two"})
    org.upsert("Contact", {KEY: "C1", "LastName": "Sample", "Account": {KEY: "H1"}})
    return org


def relations(org) -> set[tuple[str, str, bool]]:
    rows = org.query(f"SELECT Account.Tributary_Key__c, Contact.Tributary_Key__c, IsDirect FROM {RELATIONS}")
    return {(row["Account"][KEY], row["Contact"][KEY], row["IsDirect"]) for row in rows}


def member(account: str, contact: str = "C1", key: str = "M1", **values: object) -> dict[str, object]:
    return {KEY: key, "Account": {KEY: account}, "Contact": {KEY: contact}, **values}


def test_a_contact_with_an_account_has_a_direct_relation(family):
    assert relations(family) == {("H1", "C1", True)}
    record = family.query(f"SELECT IsActive, FinServ__Primary__c FROM {RELATIONS}")[0]
    assert (record["IsActive"], record["FinServ__Primary__c"]) == (True, False)


def test_a_contact_without_an_account_has_none(org):
    org.upsert("Contact", {KEY: "C1", "LastName": "Sample"})
    assert relations(org) == set()


def test_a_second_account_is_an_indirect_relation(family):
    flags = {"FinServ__Primary__c": True, "FinServ__PrimaryGroup__c": True, "FinServ__IncludeInGroup__c": True}
    assert family.upsert(RELATIONS, member("H2", Roles="Client;Trustee", **flags))[0]["created"]
    assert relations(family) == {("H1", "C1", True), ("H2", "C1", False)}


def test_a_pair_of_account_and_contact_exists_once(family):
    family.upsert(RELATIONS, member("H2"))
    for pair in ("H2", "H1"):
        assert family.error(RELATIONS, member(pair, key="M9"))["statusCode"] == "DUPLICATE_VALUE"
    results = family.upsert(RELATIONS, member("H2"))[0]
    assert (results["success"], results["created"]) == (True, False)


def test_one_call_cannot_make_a_pair_twice(family):
    results = family.upsert(RELATIONS, member("H2", key="M1"), member("H2", key="M2"))
    assert [row["success"] for row in results] == [True, False]


def test_a_pair_that_was_deleted_can_be_made_again(family):
    relation_id = family.upsert(RELATIONS, member("H2"))[0]["id"]
    family.call("DELETE", f"/sobjects/{RELATIONS}/{relation_id}")
    assert family.upsert(RELATIONS, member("H2"))[0]["created"]


@pytest.mark.parametrize("values", [{"Account": {KEY: "H1"}}, {"Account": {KEY: "H2"}, "IsDirect": True}])
def test_what_a_relation_does_not_take(family, values):
    family.upsert(RELATIONS, member("H2"))
    error = family.error(RELATIONS, {KEY: "M1", **values})
    assert error["statusCode"] == "INVALID_FIELD_FOR_INSERT_UPDATE"


def test_a_relation_needs_both_ends(family):
    assert family.error(RELATIONS, {KEY: "M1", "Account": {KEY: "H2"}})["fields"] == ["ContactId"]


def test_a_contact_that_moves_takes_its_direct_relation_along(family):
    before = family.query(f"SELECT Id FROM {RELATIONS}")
    family.upsert("Contact", {KEY: "C1", "Account": {KEY: "H2"}})
    assert relations(family) == {("H2", "C1", True)}
    assert family.query(f"SELECT Id FROM {RELATIONS}") == before


def test_a_contact_that_moves_where_it_is_related_already_has_one_relation(family):
    family.upsert(RELATIONS, member("H2"))
    family.upsert("Contact", {KEY: "C1", "Account": {KEY: "H2"}})
    assert relations(family) == {("H2", "C1", True)}


def test_a_contact_that_leaves_its_account_loses_the_direct_relation(family):
    family.upsert("Contact", {KEY: "C1", "AccountId": None})
    assert relations(family) == set()


def test_merged_accounts_leave_one_relation_for_a_contact(family):
    family.upsert(RELATIONS, member("H2"))
    ids = {row["Name"]: row["Id"] for row in family.query("SELECT Id, Name FROM Account")}
    family.http.post("/_admin/records/Account/merge", json={"master": ids["Two"], "loser": ids["One"]})
    assert relations(family) == {("H2", "C1", True)}
    assert family.error(RELATIONS, member("H2", key="M9"))["statusCode"] == "DUPLICATE_VALUE"


def test_a_relation_goes_with_its_contact(family):
    contact = family.query("SELECT Id FROM Contact")[0]["Id"]
    family.call("DELETE", f"/sobjects/Contact/{contact}")
    assert relations(family) == set()
