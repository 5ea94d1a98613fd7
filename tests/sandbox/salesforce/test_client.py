"""simple-salesforce, unmodified, works against the sandbox org."""

import csv
import io
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from simple_salesforce import Salesforce
from simple_salesforce.exceptions import (
    SalesforceAuthenticationFailed,
    SalesforceMalformedRequest,
    SalesforceMoreThanOneRecord,
    SalesforceOperationError,
    SalesforceResourceNotFound,
)

KEY, SOURCE, ACCOUNTS = "Tributary_Key__c", "FinServ__SourceSystemId__c", "FinServ__FinancialAccount__c"
CONSUMER = "3MVG9sample"


@pytest.fixture
def client(org) -> Salesforce:
    return org.client(consumer_key=CONSUMER, consumer_secret="sample-secret", domain="sample-wealth.my")


def persons(count: int) -> list[dict[str, str]]:
    kind = "IndustriesIndividual"
    return [{KEY: f"P{i}", "Name": f"Person {i:05}", "RecordType.DeveloperName": kind} for i in range(count)]


def rows_of(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_it_logs_in_by_client_credentials(client):
    assert client.limits()["DailyApiRequests"]["Max"] == 100_000


def test_client_reports_a_wrong_secret(org):
    with pytest.raises(SalesforceAuthenticationFailed, match="invalid client credentials"):
        org.client(consumer_key=CONSUMER, consumer_secret="another", domain="sample-wealth.my")


def test_client_reports_an_unapproved_user(org):
    refused = pytest.raises(SalesforceAuthenticationFailed, match="approved this consumer")
    with refused, pytest.warns(UserWarning, match="authorize this"):
        org.client(username="nobody@sample-wealth.example", consumer_key=CONSUMER, privatekey=org.private_key)


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
    done = rows_of(client.bulk2.Account.get_successful_records(job["job_id"]))
    failed = rows_of(client.bulk2.Account.get_failed_records(job["job_id"]))
    assert (job["numberRecordsProcessed"], job["numberRecordsFailed"]) == (300, 30)
    assert {row[KEY] for row in failed} == {row[KEY] for row in rows[::10]}
    assert len({row[KEY] for row in done}) == 270


def test_a_bulk_upsert_of_a_csv_file_is_cut_into_jobs(client, tmp_path):
    path = tmp_path / "persons.csv"
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(persons(1)[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(persons(250))
    jobs = client.bulk2.Account.upsert(csv_file=str(path), external_id_field=KEY, batch_size=100, wait=0.1)
    assert [job["numberRecordsProcessed"] for job in jobs] == [100, 100, 50]
    assert client.query("SELECT COUNT() FROM Account")["totalSize"] == 250


def test_bulk_jobs_insert_then_update_then_delete(client):
    bulk = client.bulk2.Account
    job = bulk.insert(records=persons(3), wait=0.1)[0]
    ids = [row["sf__Id"] for row in rows_of(bulk.get_successful_records(job["job_id"]))]
    bulk.update(records=[{"Id": record_id, "Name": "Ada Sample"} for record_id in ids], wait=0.1)
    assert {row["Name"] for row in client.query("SELECT Name FROM Account")["records"]} == {"Ada Sample"}
    bulk.delete(records=[{"Id": record_id} for record_id in ids], wait=0.1)
    assert client.query("SELECT COUNT() FROM Account")["totalSize"] == 0


def test_all_three_results_of_a_job_are_given_together(client):
    rows = [*persons(3), {KEY: "P9", "Name": "", "RecordType.DeveloperName": "IndustriesIndividual"}]
    job = client.bulk2.Account.upsert(records=rows, external_id_field=KEY, wait=0.1)[0]
    results = client.bulk2.Account.get_all_ingest_records(job["job_id"])
    counts = {kind: len(records) for kind, records in results.items()}
    assert counts == {"successfulRecords": 3, "failedRecords": 1, "unprocessedRecords": 0}


def test_a_bulk_upsert_into_a_field_that_is_not_there_fails_the_job(client):
    with pytest.raises(SalesforceOperationError, match="Field name not found : Nonsense__c"):
        client.bulk2.Account.upsert(records=[{KEY: "P1", "Nonsense__c": "1"}], external_id_field=KEY, wait=0.1)


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


def test_a_query_is_read_to_its_end_by_itself(client):
    client.bulk2.Account.upsert(records=persons(2100), external_id_field=KEY, wait=0.1)
    names = [record["Name"] for record in client.query_all_iter("SELECT Name FROM Account ORDER BY Name")]
    assert names == [f"Person {i:05}" for i in range(2100)]


def test_a_query_with_what_is_deleted_finds_it(client):
    record_id = client.Account.create({KEY: "P1", "Name": "Ada Sample"})["id"]
    client.Account.delete(record_id)
    soql = "SELECT Id FROM Account WHERE IsDeleted = true"
    records = client.query_all(soql, include_deleted=True)["records"]
    assert [record["Id"] for record in records] == [record_id]


def test_a_bulk_query_is_downloaded_as_files(client, tmp_path):
    client.bulk2.Account.upsert(records=persons(250), external_id_field=KEY, wait=0.1)
    pages = client.bulk2.Account.download("SELECT Tributary_Key__c FROM Account", str(tmp_path), max_records=100)
    assert [page["number_of_records"] for page in pages] == [100, 100, 50]
    keys = [row[KEY] for page in pages for row in rows_of(Path(page["file"]).read_text())]
    assert sorted(keys) == sorted(f"P{i}" for i in range(250))


def test_a_bulk_query_is_read_page_by_page(client):
    client.bulk2.Account.upsert(records=persons(250), external_id_field=KEY, wait=0.1)
    pages = list(client.bulk2.Account.query("SELECT Tributary_Key__c FROM Account", max_records=100))
    keys = [row[KEY] for page in pages for row in rows_of(page)]
    assert len(pages) == 3
    assert sorted(keys) == sorted(f"P{i}" for i in range(250))


def test_a_collection_is_inserted(client):
    records = [{"attributes": {"type": "Account"}, "Name": f"Person {i}"} for i in range(3)]
    results = client.restful("composite/sobjects", method="POST", json={"allOrNone": False, "records": records})
    assert [row["success"] for row in results] == [True, True, True]


def test_a_collection_is_upserted_and_every_row_has_its_result(client):
    client.Account.create({KEY: "P0", "Name": "Ada Sample"})
    rows = [{"attributes": {"type": "Account"}} | row for row in persons(3)]
    rows[2]["Name"] = ""
    for row in rows:
        row["RecordType"] = {"DeveloperName": row.pop("RecordType.DeveloperName")}
    body = {"allOrNone": False, "records": rows}
    results = client.restful(f"composite/sobjects/Account/{KEY}", method="PATCH", json=body)
    assert [(row["success"], row["created"]) for row in results] == [(True, False), (True, True), (False, False)]
    assert results[2]["errors"][0]["statusCode"] == "REQUIRED_FIELD_MISSING"


def test_a_collection_is_updated_by_id(client):
    ids = [client.Account.create({KEY: f"P{i}", "Name": "Ada Sample"})["id"] for i in range(2)]
    records = [{"attributes": {"type": "Account"}, "id": each, "Name": "Ada Other-Sample"} for each in ids]
    results = client.restful("composite/sobjects", method="PATCH", json={"allOrNone": True, "records": records})
    assert [(row["id"], row["success"]) for row in results] == [(each, True) for each in ids]
    assert {row["Name"] for row in client.query("SELECT Name FROM Account")["records"]} == {"Ada Other-Sample"}


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


def test_it_finds_out_whose_token_it_has(client):
    assert client.oauth2("userinfo")["preferred_username"] == "loader@sample-wealth.example"


def test_records_that_were_changed_or_deleted_are_listed(client):
    updated_id, deleted_id = (client.Account.create({KEY: f"P{i}", "Name": "Ada Sample"})["id"] for i in range(2))
    client.Account.delete(deleted_id)
    span = datetime.now(UTC) - timedelta(hours=1), datetime.now(UTC) + timedelta(hours=1)
    assert client.Account.updated(*span)["ids"] == [updated_id]
    deleted = client.Account.deleted(*span)
    assert [record["id"] for record in deleted["deletedRecords"]] == [deleted_id]
    earlier = span[0] - timedelta(hours=2), span[0]
    assert client.Account.updated(*earlier)["ids"] == []
    with pytest.raises(SalesforceMalformedRequest, match="INVALID_REPLICATION_DATE"):
        client.Account.updated(*reversed(span))


def test_a_query_for_children_and_groups_is_read(client):
    ada = client.Account.create({KEY: "P1", "Name": "Ada Sample"})["id"]
    client.Contact.create({"LastName": "Sample", "AccountId": ada})
    [row] = client.query_all("SELECT Id, (SELECT LastName FROM Contacts) FROM Account WHERE CreatedDate = TODAY")[
        "records"
    ]
    assert [child["LastName"] for child in row["Contacts"]["records"]] == ["Sample"]
    [row] = client.query("SELECT AccountId who, COUNT(Id) many FROM Contact GROUP BY AccountId")["records"]
    assert (row["who"], row["many"]) == (ada, 1)


def test_a_graph_and_many_deletes_are_called(client):
    node = {
        "method": "POST",
        "url": "/services/data/v66.0/sobjects/Account",
        "referenceId": "ada",
        "body": {"Name": "Ada"},
    }
    graphs = {"graphs": [{"graphId": "one", "compositeRequest": [node]}]}
    [graph] = client.restful("composite/graph", method="POST", json=graphs)["graphs"]
    ada = graph["graphResponse"]["compositeResponse"][0]["body"]["id"]
    assert client.restful("composite/sobjects/Account", params={"ids": ada, "fields": "Name"})[0]["Name"] == "Ada"
    assert client.restful("composite/sobjects", method="DELETE", params={"ids": ada})[0]["success"] is True
