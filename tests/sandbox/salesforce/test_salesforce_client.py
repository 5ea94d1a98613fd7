"""simple-salesforce, unmodified, works against the sandbox org."""

import csv
import io

import pytest
from simple_salesforce import Salesforce
from simple_salesforce.exceptions import SalesforceMoreThanOneRecord, SalesforceResourceNotFound

KEY, SOURCE, ACCOUNTS = "Tributary_Key__c", "FinServ__SourceSystemId__c", "FinServ__FinancialAccount__c"
CONSUMER = "3MVG9sample"


@pytest.fixture
def client(org) -> Salesforce:
    return org.client(consumer_key=CONSUMER, consumer_secret="sample-secret", domain="sample-wealth.my")


def persons(count: int) -> list[dict[str, str]]:
    kind = "IndustriesIndividual"
    return [{KEY: f"P{i}", "Name": f"Person {i:05}", "RecordType.DeveloperName": kind} for i in range(count)]


def test_it_logs_in_by_jwt(org):
    client = org.client(username="loader@sample-wealth.example", consumer_key=CONSUMER, privatekey=org.private_key)
    assert client.limits()["DailyApiRequests"]["Max"] == 100_000


def test_it_logs_in_again_by_itself_when_the_token_expires(org):
    client = org.client(username="loader@sample-wealth.example", consumer_key=CONSUMER, privatekey=org.private_key)
    org.http.delete("/_admin/sessions")
    assert client.query("SELECT COUNT() FROM Account")["totalSize"] == 0


def test_it_reads_the_limit_header(client):
    client.limits()
    assert client.api_usage["api-usage"].total == 100_000


def test_bulk_upsert_of_300_rows_gives_every_row_its_result(client):
    rows = persons(300)
    for row in rows[::10]:
        row["Name"] = ""
    job = client.bulk2.Account.upsert(records=rows, external_id_field=KEY, wait=0.1)[0]
    done = list(csv.DictReader(io.StringIO(client.bulk2.Account.get_successful_records(job["job_id"]))))
    failed = list(csv.DictReader(io.StringIO(client.bulk2.Account.get_failed_records(job["job_id"]))))
    assert (job["numberRecordsProcessed"], job["numberRecordsFailed"]) == (300, 30)
    assert {row[KEY] for row in failed} == {row[KEY] for row in rows[::10]}
    assert len({row[KEY] for row in done}) == 270


def test_a_query_is_read_page_by_page(client):
    client.bulk2.Account.upsert(records=persons(4500), external_id_field=KEY, wait=0.1)
    first = client.query("SELECT Name FROM Account ORDER BY Name")
    second = client.query_more(first["nextRecordsUrl"], identifier_is_url=True)
    third = client.query_more(second["nextRecordsUrl"], identifier_is_url=True)
    pages = [first, second, third]
    assert [len(page["records"]) for page in pages] == [2000, 2000, 500]
    names = [record["Name"] for page in pages for record in page["records"]]
    assert names == [f"Person {i:05}" for i in range(4500)]
    assert (first["done"], third["done"]) == (False, True)


def test_a_bulk_query_is_read_page_by_page(client):
    client.bulk2.Account.upsert(records=persons(250), external_id_field=KEY, wait=0.1)
    pages = list(client.bulk2.Account.query("SELECT Tributary_Key__c FROM Account", max_records=100))
    keys = [row[KEY] for page in pages for row in csv.DictReader(io.StringIO(page))]
    assert len(pages) == 3
    assert sorted(keys) == sorted(f"P{i}" for i in range(250))


def test_a_collection_is_inserted(client):
    records = [{"attributes": {"type": "Account"}, "Name": f"Person {i}"} for i in range(3)]
    said = client.restful("composite/sobjects", method="POST", json={"allOrNone": False, "records": records})
    assert [row["success"] for row in said] == [True, True, True]


def test_a_row_upsert_makes_and_then_changes(client):
    assert client.Account.upsert(f"{KEY}/P1", {"Name": "Ada Sample"}) == 201
    assert client.Account.upsert(f"{KEY}/P1", {"Name": "Ada Other-Sample"}) == 200
    assert client.Account.get_by_custom_id(KEY, "P1")["Name"] == "Ada Other-Sample"


def test_an_external_id_that_two_records_share_gives_the_choices(org, client):
    org.add_person()
    owner = {"FinServ__PrimaryOwner__r": {KEY: "P1"}, "Name": "Sample IRA", SOURCE: "same"}
    getattr(client, ACCOUNTS).create(owner)
    getattr(client, ACCOUNTS).create(owner)
    with pytest.raises(SalesforceMoreThanOneRecord):
        getattr(client, ACCOUNTS).upsert(f"{SOURCE}/same", {"Name": "Which"})


def test_a_record_that_is_not_there_is_not_found(client):
    with pytest.raises(SalesforceResourceNotFound):
        client.Account.get("001Hp00000099990AA")


def test_describe_names_the_projects_key(client):
    fields = {field["name"]: field for field in client.Account.describe()["fields"]}
    assert [fields[KEY][word] for word in ("externalId", "unique", "caseSensitive")] == [True, True, True]
