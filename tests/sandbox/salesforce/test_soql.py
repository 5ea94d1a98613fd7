"""SOQL as reports and a firm's own tools write it: groups, children, semi-joins, date literals."""

from datetime import UTC, datetime

import pytest

from sandbox.salesforce.soql_dates import parse_span
from tests.sandbox.salesforce.conftest import run_org

KEY = "Tributary_Key__c"
ACCOUNTS = "FinServ__FinancialAccount__c"
BALANCE = "FinServ__Balance__c"


@pytest.fixture(scope="module")
def loaded(tmp_path_factory, key_pair):
    """Two persons: P1 with balances 0.10, 0.20 (named `IRA`) and 300 (`Roth`), P2 with an unknown one (`ira`)."""
    with run_org(tmp_path_factory.mktemp("loaded-org"), key_pair) as org:
        org.add_person("P1")
        org.add_person("P2")
        rows = [("A1", "IRA", "0.10", "P1"), ("A2", "IRA", "0.20", "P1"), ("A3", "Roth", "300", "P1")]
        for key, name, balance, owner in [*rows, ("A4", "ira", None, "P2")]:
            record = {KEY: key, "Name": name, BALANCE: balance, "FinServ__PrimaryOwner__r": {KEY: owner}}
            org.upsert(ACCOUNTS, record)
        yield org


def groups(org, soql):
    return [{k: v for k, v in row.items() if k != "attributes"} for row in org.query(soql)]


def keys(org, where, sobject=ACCOUNTS):
    return " ".join(row[KEY] for row in org.query(f"SELECT {KEY} FROM {sobject} WHERE {where} ORDER BY {KEY}"))


def test_groups_have_the_names_of_their_fields_and_aliases(loaded):
    soql = f"SELECT Name n, COUNT(Id) many, SUM({BALANCE}) FROM {ACCOUNTS} GROUP BY Name ORDER BY COUNT(Id) DESC"
    assert groups(loaded, soql) == [
        {"n": "IRA", "many": 3, "expr0": pytest.approx(0.3)},
        {"n": "Roth", "many": 1, "expr0": 300.0},
    ]


def test_a_sum_is_exact_to_the_cent(loaded):
    soql = f"SELECT SUM({BALANCE}) total FROM {ACCOUNTS} WHERE Name = 'IRA'"
    assert '"total":0.3}' in loaded.call("GET", "/query", params={"q": soql}).text


def test_groups_by_a_parents_field(loaded):
    soql = f"SELECT FinServ__PrimaryOwner__r.{KEY}, COUNT(Id) FROM {ACCOUNTS} GROUP BY FinServ__PrimaryOwner__r.{KEY}"
    assert groups(loaded, soql) == [{KEY: "P1", "expr0": 3}, {KEY: "P2", "expr0": 1}]


def test_every_aggregate(loaded):
    items = f"COUNT(Id), COUNT({BALANCE}), COUNT_DISTINCT(Name), MIN({BALANCE}), MAX({BALANCE}), AVG({BALANCE})"
    [row] = groups(loaded, f"SELECT {items} FROM {ACCOUNTS}")
    assert list(row.values()) == [4, 3, 2, 0.1, 300.0, pytest.approx(100.1)]
    [row] = groups(loaded, f"SELECT MAX(Name), MAX(CreatedDate) FROM {ACCOUNTS} WHERE Name != 'none'")
    assert row["expr0"] == "Roth"


def test_aggregates_of_nothing_are_one_row(empty_org):
    assert groups(empty_org, f"SELECT COUNT(Id), SUM({BALANCE}) FROM {ACCOUNTS}") == [{"expr0": 0, "expr1": None}]


def test_groups_are_filtered_by_having(loaded):
    soql = f"SELECT Name FROM {ACCOUNTS} WHERE {KEY} != 'A4' GROUP BY Name HAVING COUNT(Id) > 1 AND SUM({BALANCE}) < 1"
    assert groups(loaded, soql) == [{"Name": "IRA"}]


def test_groups_by_a_date_function(loaded):
    now = loaded.clock.now().astimezone(UTC)
    soql = (
        f"SELECT CALENDAR_YEAR(CreatedDate) y, CALENDAR_QUARTER(CreatedDate) q, DAY_ONLY(CreatedDate) d FROM {ACCOUNTS}"
        " GROUP BY CALENDAR_YEAR(CreatedDate), CALENDAR_QUARTER(CreatedDate), DAY_ONLY(CreatedDate)"
    )
    assert groups(loaded, soql) == [{"y": now.year, "q": (now.month + 2) // 3, "d": now.date().isoformat()}]


@pytest.mark.parametrize(
    ("soql", "words"),
    [
        (f"SELECT Name, COUNT(Id) FROM {ACCOUNTS}", "grouped or aggregated: Name"),
        (f"SELECT COUNT(Id) FROM {ACCOUNTS} GROUP BY Name ORDER BY CreatedDate", "grouped or aggregated: CreatedDate"),
        (f"SELECT Name FROM {ACCOUNTS} GROUP BY Name HAVING CreatedDate = TODAY", "grouped or aggregated"),
        ("SELECT COUNT(), Name FROM Account GROUP BY Name", "COUNT()"),
        ("SELECT Name n FROM Account", "field aliasing"),
        ("SELECT Id FROM Account WHERE COUNT(Id) > 1", "HAVING"),
        ("SELECT Id FROM Account ORDER BY COUNT(Id)", "grouped"),
        ("SELECT SUM(Name) FROM Account", "does not support"),
        ("SELECT NONSENSE(Name) FROM Account", "NONSENSE"),
        ("SELECT COUNT(Id), (SELECT Id FROM Contacts) FROM Account", "child"),
        ("SELECT Id, (SELECT Id FROM Nonsense) FROM Account", "Nonsense"),
        ("SELECT Id, (SELECT LastName FROM Contacts GROUP BY LastName) FROM Account", "child"),
        ("SELECT Id FROM Account WHERE Id IN (SELECT AccountId, Id FROM Contact)", "one field"),
        ("SELECT Id FROM Account WHERE Id IN (SELECT AccountId FROM Contact LIMIT 1)", "LIMIT"),
        ("SELECT Id FROM Account WHERE CreatedDate = LAST_N_DAYS", "LAST_N_DAYS"),
        ("SELECT Id FROM Account WHERE CreatedDate = TODAY:3", "TODAY"),
        ("SELECT Id FROM Account WHERE Name = TODAY", "'Name'"),
        ("SELECT Id FROM Account WHERE CreatedDate > 'yesterday'", "'CreatedDate'"),
        (f"SELECT Id FROM {ACCOUNTS} WHERE {BALANCE} > 'much'", BALANCE),
        ("SELECT FIELDS(ALL) FROM Account", "LIMIT of at most 200"),
        ("SELECT Id FROM Account WHERE FIELDS(ALL) = TODAY", "FIELDS"),
        ("SELECT Id FROM Account WHERE CreatedDate = N_YEARS_AGO:9999", "out of range"),
        ("SELECT Id FROM Account LIMIT 99999999999999999999", "99999999999999999999"),
        ("SELECT Id FROM Account OFFSET 2001", "offset"),
    ],
)
def test_invalid_queries_are_rejected_with_salesforces_message(empty_org, soql, words):
    response = empty_org.call("GET", "/query", params={"q": soql})
    assert response.status_code == 400, response.text
    assert words in response.json()[0]["message"]


def test_children_come_with_their_parent(loaded):
    inner = (
        f"SELECT {KEY} FROM FinServ__FinancialAccountsPrimaryOwner__r WHERE {BALANCE} > 0 ORDER BY {KEY} DESC LIMIT 2"
    )
    first, second = loaded.query(f"SELECT {KEY}, ({inner}) FROM Account ORDER BY {KEY}")
    children = first["FinServ__FinancialAccountsPrimaryOwner__r"]
    assert (children["totalSize"], children["done"]) == (2, True)
    assert [child[KEY] for child in children["records"]] == ["A3", "A2"]
    assert children["records"][0]["attributes"]["type"] == ACCOUNTS
    assert second["FinServ__FinancialAccountsPrimaryOwner__r"] is None


def test_children_also_come_page_by_page(org):
    org.wait(org.load("Account", f"{KEY},Name\n" + "".join(f"P{i},Person\n" for i in range(250))))
    org.wait(org.load("Contact", f"{KEY},LastName,Account.{KEY}\n" + "".join(f"C{i},S,P{i}\n" for i in range(250))))
    headers = {"Sforce-Query-Options": "batchSize=200"}
    soql = f"SELECT {KEY}, (SELECT {KEY} FROM Contacts) FROM Account"
    first = org.call("GET", "/query", params={"q": soql}, headers=headers).json()
    second = org.http.get(first["nextRecordsUrl"], headers=headers).json()
    rows = first["records"] + second["records"]
    assert len(rows) == 250
    assert {row["Contacts"]["records"][0][KEY][1:] == row[KEY][1:] for row in rows} == {True}


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        (f"Id IN (SELECT FinServ__PrimaryOwner__c FROM {ACCOUNTS} WHERE Name = 'Roth')", "P1"),
        (f"Id NOT IN (SELECT FinServ__PrimaryOwner__c FROM {ACCOUNTS} WHERE {BALANCE} > 0)", "P2"),
        (f"Id NOT IN (SELECT FinServ__Household__c FROM {ACCOUNTS})", "P1 P2"),
        (f"{KEY} = 'P1' AND Id IN (SELECT FinServ__PrimaryOwner__c FROM {ACCOUNTS} WHERE {KEY} = 'A4')", ""),
    ],
)
def test_semi_joins(loaded, where, expected):
    assert keys(loaded, where, "Account") == expected


def test_an_alias_of_the_object_names_its_fields(loaded):
    soql = f"SELECT a.{KEY} FROM {ACCOUNTS} a WHERE a.Name = 'Roth' AND a.FinServ__PrimaryOwner__r.{KEY} = 'P1'"
    assert [row[KEY] for row in loaded.query(soql)] == ["A3"]


def test_fields_selects_all_fields_of_an_object(loaded):
    [row] = loaded.query(f"SELECT FIELDS(ALL) FROM {ACCOUNTS} WHERE {KEY} = 'A1' LIMIT 1")
    assert (row["Name"], row[BALANCE], row["IsDeleted"]) == ("IRA", 0.1, False)
    [row] = loaded.query(f"SELECT FIELDS(STANDARD) FROM {ACCOUNTS} WHERE {KEY} = 'A1'")
    assert "Name" in row
    assert BALANCE not in row


TODAY = datetime.fromisoformat("2026-11-20T23:00:00-05:00")
"""A Friday in New York; in UTC it is Saturday."""


@pytest.fixture(scope="module")
def made_today(tmp_path_factory, key_pair):
    """An org with one account, created at that time."""
    with run_org(tmp_path_factory.mktemp("made-today"), key_pair) as server:
        server.clock.set(TODAY)
        server.log_in()
        server.add_person("P1")
        yield server


@pytest.mark.parametrize(
    ("literal", "first", "end"),
    [
        ("TODAY", "2026-11-20", "2026-11-21"),
        ("yesterday", "2026-11-19", "2026-11-20"),
        ("TOMORROW", "2026-11-21", "2026-11-22"),
        ("THIS_WEEK", "2026-11-15", "2026-11-22"),
        ("LAST_WEEK", "2026-11-08", "2026-11-15"),
        ("NEXT_WEEK", "2026-11-22", "2026-11-29"),
        ("THIS_MONTH", "2026-11-01", "2026-12-01"),
        ("NEXT_MONTH", "2026-12-01", "2027-01-01"),
        ("LAST_QUARTER", "2026-07-01", "2026-10-01"),
        ("THIS_QUARTER", "2026-10-01", "2027-01-01"),
        ("LAST_YEAR", "2025-01-01", "2026-01-01"),
        ("LAST_90_DAYS", "2026-08-22", "2026-11-21"),
        ("LAST_N_DAYS:1", "2026-11-19", "2026-11-21"),
        ("NEXT_N_DAYS:2", "2026-11-21", "2026-11-23"),
        ("N_DAYS_AGO:3", "2026-11-17", "2026-11-18"),
        ("LAST_N_WEEKS:2", "2026-11-01", "2026-11-15"),
        ("NEXT_N_MONTHS:2", "2026-12-01", "2027-02-01"),
        ("LAST_N_QUARTERS:1", "2026-07-01", "2026-10-01"),
        ("N_YEARS_AGO:2", "2024-01-01", "2025-01-01"),
    ],
)
def test_spans_of_date_literals(literal, first, end):
    word, _, count = literal.partition(":")
    days = parse_span(word, int(count) if count else None).find_days(TODAY.date())
    assert [day.isoformat() for day in days] == [first, end]


@pytest.mark.parametrize(
    ("condition", "is_found"),
    [
        ("= TODAY", True),
        ("!= TODAY", False),
        ("> TODAY", False),
        (">= TODAY", True),
        ("< TODAY", False),
        ("<= TODAY", True),
        ("= YESTERDAY", False),
        ("> YESTERDAY", True),
        ("< TOMORROW", True),
        ("= LAST_N_DAYS:1", True),
        ("= TOMORROW", False),
    ],
)
def test_a_time_is_compared_with_the_users_day(made_today, condition, is_found):
    assert bool(made_today.query(f"SELECT Id FROM Account WHERE CreatedDate {condition}")) is is_found


def test_a_date_is_compared_with_the_users_day(org):
    org.clock.set(TODAY)
    org.log_in()
    for key, day in (("A1", "2026-11-20"), ("A2", "2026-11-21"), ("A3", None)):
        org.add_person()
        record = {KEY: key, "Name": "IRA", "FinServ__OpenDate__c": day, "FinServ__PrimaryOwner__r": {KEY: "P1"}}
        org.upsert(ACCOUNTS, record)
    assert keys(org, "FinServ__OpenDate__c = TODAY") == "A1"
    assert keys(org, "FinServ__OpenDate__c > TODAY") == "A2"
    assert keys(org, "FinServ__OpenDate__c != TODAY") == "A2 A3"


@pytest.mark.parametrize(
    "soql", ["SELECT Name FROM Account GROUP BY Name", "SELECT Id, (SELECT Id FROM Contacts) FROM Account"]
)
def test_bulk_queries_have_neither_groups_nor_children(empty_org, soql):
    response = empty_org.call("POST", "/jobs/query", json={"operation": "query", "query": soql})
    assert (response.status_code, response.json()[0]["errorCode"]) == (400, "API_ERROR")
