"""Edits that an administrator makes to the org's records beside the load."""

import json

KEY = "Tributary_Key__c"
ACCOUNTS, HOLDINGS = "FinServ__FinancialAccount__c", "FinServ__FinancialHolding__c"


def test_a_person_edits_a_record(org):
    person = org.add_person()
    org.http.patch(f"/_admin/records/Account/{person}", json={"Name": "Ada Other"})
    record = org.query("SELECT Name, LastModifiedBy.Username FROM Account")[0]
    assert record["Name"] == "Ada Other"
    assert record["LastModifiedBy"]["Username"] != "loader@sample-wealth.example"


def test_records_are_dumped_as_lines(org):
    person = org.add_person()
    lines = org.http.get("/_admin/records/Account").text.splitlines()
    assert [json.loads(line)["Id"] for line in lines] == [person]


def test_a_merge_moves_the_children_and_the_loser_is_gone(org):
    org.add_person("P1")
    loser, master = org.query("SELECT Id FROM Account")[0]["Id"], org.add_person("P2")
    org.add_account()
    response = org.http.post("/_admin/records/Account/merge", json={"master": master, "loser": loser})
    assert response.status_code == 204
    assert [row["Id"] for row in org.query("SELECT Id FROM Account")] == [master]
    assert org.query(f"SELECT FinServ__PrimaryOwner__c FROM {ACCOUNTS}")[0]["FinServ__PrimaryOwner__c"] == master


def test_details_go_with_their_master(org):
    org.add_person()
    account = org.add_account()
    org.upsert(HOLDINGS, {KEY: "H1", "Name": "H", "FinServ__FinancialAccount__r": {KEY: "A1"}})
    assert org.http.delete(f"/_admin/records/{ACCOUNTS}/{account}").status_code == 204
    assert org.query(f"SELECT Id FROM {HOLDINGS}") == []


def test_an_owner_of_accounts_cannot_be_deleted(org):
    person = org.add_person()
    org.add_account()
    response = org.call("DELETE", f"/sobjects/Account/{person}")
    assert (response.status_code, response.json()[0]["errorCode"]) == (400, "DELETE_FAILED")


def test_a_deleted_record_is_seen_by_query_all_only(org):
    person = org.add_person()
    org.call("DELETE", f"/sobjects/Account/{person}")
    records = org.call("GET", "/queryAll", params={"q": "SELECT IsDeleted FROM Account"}).json()["records"]
    assert [record["IsDeleted"] for record in records] == [True]
    assert org.query("SELECT Id FROM Account") == []


def test_a_deleted_key_can_be_used_again(org):
    first = org.add_person()
    org.call("DELETE", f"/sobjects/Account/{first}")
    assert org.add_person() != first


def test_records_survive_a_restart(start):
    with start() as first:
        person = first.add_person()
    with start() as second:
        assert second.query("SELECT Id FROM Account")[0]["Id"] == person
        assert second.add_person("P2") > person


def test_all_records_are_emptied(org):
    org.add_person()
    org.http.delete("/_admin/records")
    assert org.query("SELECT Id FROM Account") == []
    assert org.add_person()
