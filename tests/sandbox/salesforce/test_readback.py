"""Read-back of the org: bulk queries with parents' fields, deleted and merged records, page by page."""

import csv
import io
from typing import Any

import pytest

KEY = "Tributary_Key__c"
ACCOUNTS = "FinServ__FinancialAccount__c"


def read(org, soql: str, operation: str = "query", **params: Any) -> list[dict[str, str]]:
    """Return all rows of a bulk query."""
    job = org.call("POST", "/jobs/query", json={"operation": operation, "query": soql}).json()
    assert org.wait(job["id"], "query")["state"] == "JobComplete"
    rows: list[dict[str, str]] = []
    locator = None
    while locator != "null":
        query_params = params | ({"locator": locator} if locator else {})
        page = org.call("GET", f"/jobs/query/{job['id']}/results", params=query_params)
        page_rows = list(csv.DictReader(io.StringIO(page.content.decode(), newline="")))
        assert len(page_rows) == int(page.headers["Sforce-NumberOfRecords"])
        rows += page_rows
        locator = page.headers["Sforce-Locator"]
    return rows


@pytest.fixture
def loaded(org):
    """Two persons and two financial accounts of the first, all with our keys; one record that a user added."""
    kind = {"RecordType": {"DeveloperName": "IndustriesIndividual"}}
    org.upsert("Account", *({KEY: f"firm:v:person:{i}", "Name": f"Person {i}", **kind} for i in (1, 2)))
    org.call("POST", "/sobjects/Account", json={"Name": "Made by hand"})
    owner = {"FinServ__PrimaryOwner__r": {KEY: "firm:v:person:1"}}
    rows = ({KEY: f"firm:v:account:{i}", "Name": "IRA", "FinServ__Managed__c": i == 1, **owner} for i in (1, 2))
    org.upsert(ACCOUNTS, *rows)
    return org


def test_the_file_contains_parent_fields_and_record_types(loaded):
    owner = f"FinServ__PrimaryOwner__r.{KEY}"
    soql = (
        f"SELECT {KEY}, {owner}, FinServ__Household__r.{KEY}, FinServ__Managed__c, FinServ__Balance__c FROM {ACCOUNTS}"
    )
    assert read(loaded, f"{soql} WHERE {KEY} LIKE 'firm:%' ORDER BY {KEY}")[0] == {
        KEY: "firm:v:account:1",
        owner: "firm:v:person:1",
        f"FinServ__Household__r.{KEY}": "",
        "FinServ__Managed__c": "true",
        "FinServ__Balance__c": "",
    }
    people = read(loaded, f"SELECT RecordType.DeveloperName, SystemModstamp FROM Account WHERE {KEY} LIKE 'firm:%'")
    assert {row["RecordType.DeveloperName"] for row in people} == {"IndustriesIndividual"}
    assert all(row["SystemModstamp"].endswith("Z") for row in people)


def test_only_the_firms_records_are_like_its_prefix(loaded):
    rows = read(loaded, f"SELECT {KEY} FROM Account WHERE {KEY} LIKE 'firm:%'")
    assert sorted(row[KEY] for row in rows) == ["firm:v:person:1", "firm:v:person:2"]
    assert read(loaded, f"SELECT {KEY} FROM Account WHERE {KEY} LIKE 'fir_:v:account:%'") == []


def test_the_last_modifying_user_is_returned(loaded):
    person = loaded.query(f"SELECT Id FROM Account WHERE {KEY} = 'firm:v:person:2'")[0]["Id"]
    loaded.http.patch(f"/_admin/records/Account/{person}", json={"Name": "Edited"})
    rows = read(
        loaded, f"SELECT {KEY}, LastModifiedBy.Username, LastModifiedById FROM Account WHERE {KEY} LIKE 'firm:%'"
    )
    names = {row[KEY]: row["LastModifiedBy.Username"] for row in rows}
    assert names["firm:v:person:1"] == "loader@sample-wealth.example" != names["firm:v:person:2"]
    assert len({row["LastModifiedById"] for row in rows}) == 2


@pytest.mark.parametrize("where", [f"{KEY} LIKE 'firm:%'", f"{KEY} IN ('firm:v:person:1', 'firm:v:person:2')"])
def test_deleted_and_merged_records_are_seen_by_query_all(loaded, where):
    ids = {r[KEY]: r["Id"] for r in loaded.query(f"SELECT Id, {KEY} FROM Account WHERE {KEY} != null")}
    pair = {"master": ids["firm:v:person:1"], "loser": ids["firm:v:person:2"]}
    loaded.http.post("/_admin/records/Account/merge", json=pair)
    soql = f"SELECT {KEY}, IsDeleted, MasterRecordId FROM Account WHERE {where} ORDER BY {KEY}"
    assert [row[KEY] for row in read(loaded, soql)] == ["firm:v:person:1"]
    assert [tuple(row.values()) for row in read(loaded, soql, "queryAll")] == [
        ("firm:v:person:1", "false", ""),
        ("firm:v:person:2", "true", ids["firm:v:person:1"]),
    ]


def test_only_what_can_be_merged_has_a_master(loaded):
    body = {"operation": "queryAll", "query": f"SELECT MasterRecordId FROM {ACCOUNTS}"}
    response = loaded.call("POST", "/jobs/query", json=body)
    assert (response.status_code, response.json()[0]["errorCode"]) == (400, "INVALID_FIELD")


def test_pages_hold_each_row_once_in_the_order_of_the_query(org):
    org.wait(org.load("Account", f"{KEY},Name\n" + "".join(f'firm:{i:04},"Line {i}\nbreak"\n' for i in range(2500))))
    rows = read(org, f"SELECT {KEY}, Name FROM Account WHERE {KEY} LIKE 'firm:%' ORDER BY {KEY}", maxRecords=1200)
    assert [row[KEY] for row in rows] == [f"firm:{i:04}" for i in range(2500)]
    assert rows[7]["Name"] == "Line 7\nbreak"


def test_an_empty_result_is_a_header(org):
    job_id = org.call("POST", "/jobs/query", json={"operation": "query", "query": "SELECT Id FROM Contact"}).json()[
        "id"
    ]
    org.wait(job_id, "query")
    page = org.call("GET", f"/jobs/query/{job_id}/results")
    assert (page.text, page.headers["Sforce-NumberOfRecords"], page.headers["Sforce-Locator"]) == (
        '"Id"\n',
        "0",
        "null",
    )
