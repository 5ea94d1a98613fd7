"""SOQL in the sandbox org."""

import pytest

KEY = "Tributary_Key__c"
ACCOUNTS = "FinServ__FinancialAccount__c"


@pytest.fixture
def loaded(org):
    """Four accounts of one person: balances 5, 40, 300 and none."""
    org.add_person()
    rows = [("A1", "IRA", "5"), ("A2", "Roth", "40.5"), ("A3", "ira trust", "300"), ("A4", "50% O'Sample", None)]
    for key, name, balance in rows:
        record = {KEY: key, "Name": name, "FinServ__Balance__c": balance, "FinServ__Managed__c": key == "A1"}
        org.upsert(ACCOUNTS, record | {"FinServ__PrimaryOwner__r": {KEY: "P1"}})
    return org


@pytest.mark.parametrize(
    ("where", "keys"),
    [
        ("Name = 'ira'", "A1"),
        ("Name != 'IRA'", "A2 A3 A4"),
        ("Name LIKE 'ira%'", "A1 A3"),
        (r"Name LIKE '50\% O\'%'", "A4"),
        ("FinServ__Balance__c > 39", "A2 A3"),
        ("FinServ__Balance__c <= 40.50", "A1 A2"),
        ("FinServ__Balance__c = null", "A4"),
        ("NOT FinServ__Balance__c > 39", "A1 A4"),
        ("FinServ__Managed__c = true", "A1"),
        ("Tributary_Key__c IN ('A2', 'A3')", "A2 A3"),
        ("Tributary_Key__c = 'a2'", ""),
        ("Name NOT IN ('IRA', 'Roth')", "A3 A4"),
        ("(Name = 'IRA' OR Name = 'Roth') AND FinServ__Balance__c < 10", "A1"),
        ("FinServ__PrimaryOwner__r.Name = 'Ada Sample' AND NOT (Name LIKE '%ira%')", "A2 A4"),
        ("SystemModstamp > 2020-01-01T00:00:00Z", "A1 A2 A3 A4"),
        ("NOT FinServ__Household__r.IsDeleted = true", "A1 A2 A3 A4"),
        ("IsDeleted = true", ""),
        ("CreatedDate < 2020-01-01T00:00:00+01:00", ""),
    ],
)
def test_conditions(loaded, where, keys):
    records = loaded.query(f"SELECT {KEY} FROM {ACCOUNTS} WHERE {where} ORDER BY {KEY}")
    assert " ".join(record[KEY] for record in records) == keys


def test_numbers_are_sorted_as_numbers_and_nulls_come_first(loaded):
    records = loaded.query(f"SELECT {KEY} FROM {ACCOUNTS} ORDER BY FinServ__Balance__c")
    assert [record[KEY] for record in records] == ["A4", "A1", "A2", "A3"]


def test_order_can_be_turned_and_cut(loaded):
    records = loaded.query(
        f"SELECT {KEY} FROM {ACCOUNTS} ORDER BY FinServ__Balance__c DESC NULLS LAST LIMIT 2 OFFSET 1"
    )
    assert [record[KEY] for record in records] == ["A2", "A1"]


def test_count(loaded):
    body = loaded.call("GET", "/query", params={"q": f"SELECT COUNT() FROM {ACCOUNTS}"}).json()
    assert body == {"totalSize": 4, "done": True, "records": []}


def test_a_missing_parent_is_null(loaded):
    record = loaded.query(f"SELECT FinServ__Household__r.Name FROM {ACCOUNTS} LIMIT 1")[0]
    assert record["FinServ__Household__r"] is None


def test_a_page_shows_the_records_of_its_query_whatever_is_written_meanwhile(org):
    org.wait(org.load("Account", f"{KEY},Name\n" + "".join(f"P{i},Person\n" for i in range(300))))
    headers = {"Sforce-Query-Options": "batchSize=200"}
    first = org.call("GET", "/query", params={"q": "SELECT Id FROM Account"}, headers=headers).json()
    org.add_person("late")
    second = org.http.get(first["nextRecordsUrl"], headers=headers).json()
    assert len({row["Id"] for row in first["records"] + second["records"]}) == 300 == second["totalSize"]


@pytest.mark.parametrize(
    ("soql", "code"),
    [
        ("SELECT FROM Account", "MALFORMED_QUERY"),
        ("SELECT Id FROM Account WHERE", "MALFORMED_QUERY"),
        ("SELECT Id FROM Account LIMIT x", "MALFORMED_QUERY"),
        ("SELECT Nonsense__c FROM Account", "INVALID_FIELD"),
        ("SELECT Nonsense__r.Name FROM Account", "INVALID_FIELD"),
        ("SELECT Id FROM Nonsense__c", "INVALID_TYPE"),
    ],
)
def test_a_query_that_makes_no_sense_is_refused(org, soql, code):
    response = org.call("GET", "/query", params={"q": soql})
    assert (response.status_code, response.json()[0]["errorCode"]) == (400, code)
