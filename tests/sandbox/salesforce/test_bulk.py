"""Bulk API 2.0 jobs in the sandbox org."""

import csv
import io
import time

import pytest

KEY, SOURCE = "Tributary_Key__c", "FinServ__SourceSystemId__c"
ACCOUNTS = "FinServ__FinancialAccount__c"
KIND = "RecordType.DeveloperName"


def rows_of(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text, newline="")))


def persons(count: int, name: str = "Person") -> str:
    return f"{KEY},Name\n" + "".join(f"P{i},{name} {i}\n" for i in range(count))


def test_every_row_is_in_exactly_one_result(org):
    text = f"{KEY},Name,{KIND}\nP1,Ada Sample,IndustriesIndividual\nP2,,IndustriesIndividual\nP3,Cy,Nonsense\n"
    job_id = org.load("Account", text)
    job = org.wait(job_id)
    done, failed = (rows_of(org.results(job_id, kind)) for kind in ("successfulResults", "failedResults"))
    assert (job["state"], job["numberRecordsProcessed"], job["numberRecordsFailed"]) == ("JobComplete", 3, 2)
    assert [(row[KEY], row["sf__Created"], len(row["sf__Id"])) for row in done] == [("P1", "true", 18)]
    assert {row[KEY]: row["sf__Error"] for row in failed} == {
        "P2": "REQUIRED_FIELD_MISSING:Required fields are missing: [Name]:Name --",
        "P3": "INVALID_FIELD:Foreign key external ID: Nonsense not found for field DeveloperName in entity "
        "RecordType:--",
    }


def test_a_second_load_updates(org):
    org.wait(org.load("Account", persons(3)))
    job_id = org.load("Account", persons(3, "Renamed"))
    org.wait(job_id)
    assert {row["sf__Created"] for row in rows_of(org.results(job_id, "successfulResults"))} == {"false"}
    assert {row["Name"] for row in org.query("SELECT Name FROM Account")} == {f"Renamed {i}" for i in range(3)}


def test_results_are_not_in_file_order(org):
    job_id = org.load("Account", persons(100))
    org.wait(job_id)
    keys = [row[KEY] for row in rows_of(org.results(job_id, "successfulResults"))]
    assert keys != [f"P{i}" for i in range(100)]
    assert sorted(keys) == sorted(f"P{i}" for i in range(100))


def test_an_empty_cell_is_left_alone_and_na_clears(org):
    org.wait(org.load("Account", f"{KEY},Name,Phone,Website\nP1,Ada,555-0100,https://sample.example\n"))
    org.wait(org.load("Account", f"{KEY},Name,Phone,Website\nP1,Ada,,#N/A\n"))
    record = org.query("SELECT Phone, Website FROM Account")[0]
    assert (record["Phone"], record["Website"]) == ("555-0100", None)


def test_quotes_line_breaks_and_accents_survive_the_way_there_and_back(org):
    text = f'{KEY},Name\nP1,"Zoë ""Z"" Sample,\r\nTrustee"\n'
    job_id = org.load("Account", text)
    org.wait(job_id)
    name = 'Zoë "Z" Sample,\r\nTrustee'
    assert rows_of(org.results(job_id, "successfulResults"))[0]["Name"] == name
    assert org.query("SELECT Name FROM Account")[0]["Name"] == name


def test_a_parent_is_found_by_its_own_key(org):
    org.add_person()
    job_id = org.load(ACCOUNTS, f"{KEY},Name,FinServ__PrimaryOwner__r.{KEY}\nA1,IRA,P1\nA2,IRA,P9\n")
    org.wait(job_id)
    failed = rows_of(org.results(job_id, "failedResults"))
    assert [row["sf__Error"] for row in failed] == [
        f"INVALID_FIELD:Foreign key external ID: P9 not found for field {KEY} in entity Account:--"
    ]
    assert org.query(f"SELECT FinServ__PrimaryOwner__r.Name FROM {ACCOUNTS}")[0]["FinServ__PrimaryOwner__r"][
        "Name"
    ] == ("Ada Sample")


@pytest.mark.parametrize(
    ("sobject", "column", "problem"),
    [
        ("Tributary_Envelope__c", "User:Owner.Username", None),
        ("Tributary_Envelope__c", "Owner.Username", "Field name not found : Owner.Username"),
        ("Account", "Owner.Username", None),
        ("Account", "User:Owner.Username", "type is not needed for non polymorphic foreign key references: Owner"),
    ],
)
def test_only_an_owner_that_may_be_a_queue_needs_its_type(org, sobject, column, problem):
    job_id = org.load(sobject, f"{KEY},Name,{column}\nP1,Ada,loader@sample-wealth.example\n")
    job = org.wait(job_id)
    assert job.get("errorMessage") == (problem and f"InvalidBatch : {problem}")
    assert job["numberRecordsFailed"] == 0


def test_a_key_twice_in_a_batch_fails_both_rows(org):
    job_id = org.load("Account", f"{KEY},Name\nP1,Ada\nP1,Ben\n")
    assert org.wait(job_id)["numberRecordsFailed"] == 2
    errors = {row["sf__Error"] for row in rows_of(org.results(job_id, "failedResults"))}
    assert errors == {f"DUPLICATE_VALUE:Duplicate external id specified: P1:{KEY} --"}


def test_an_unknown_column_fails_the_job_with_all_rows_unprocessed(org):
    job_id = org.load("Account", f"{KEY},Name,Nonsense__c\nP1,Ada,1\n")
    job = org.wait(job_id)
    assert (job["state"], job["errorMessage"]) == ("Failed", "InvalidBatch : Field name not found : Nonsense__c")
    assert [row[KEY] for row in rows_of(org.results(job_id, "unprocessedrecords"))] == ["P1"]


def test_line_endings_must_match_the_job(org):
    job = org.wait(org.load("Account", f"{KEY},Name\r\nP1,Ada\r\n"))
    assert "LineEnding is invalid" in job["errorMessage"]


def test_crlf_and_another_delimiter_are_taken(org):
    job = org.wait(org.load("Account", f"{KEY}\tName\r\nP1\tAda\r\n", lineEnding="CRLF", columnDelimiter="TAB"))
    assert (job["state"], job["numberRecordsFailed"]) == ("JobComplete", 0)


def test_a_second_upload_spoils_the_job(org):
    job_id = org.load("Account", b"", upload=False)
    for _ in range(2):
        org.call("PUT", f"/jobs/ingest/{job_id}/batches", content=persons(1))
    response = org.call("PATCH", f"/jobs/ingest/{job_id}", json={"state": "UploadComplete"})
    assert (response.status_code, response.json()[0]["errorCode"]) == (400, "INVALIDJOB")


def test_an_upload_in_chunks_is_taken(org):
    job_id = org.load("Account", b"", upload=False)
    pieces = (piece.encode() for piece in persons(50).splitlines(keepends=True))
    assert org.call("PUT", f"/jobs/ingest/{job_id}/batches", content=pieces).status_code == 201
    org.call("PATCH", f"/jobs/ingest/{job_id}", json={"state": "UploadComplete"})
    assert org.wait(job_id)["numberRecordsProcessed"] == 50


def test_an_aborted_job_writes_nothing(org):
    job_id = org.load("Account", b"", upload=False)
    org.call("PUT", f"/jobs/ingest/{job_id}/batches", content=persons(5))
    assert org.call("PATCH", f"/jobs/ingest/{job_id}", json={"state": "Aborted"}).json()["state"] == "Aborted"
    assert len(rows_of(org.results(job_id, "unprocessedRecords"))) == 5
    assert org.query("SELECT Id FROM Account") == []


def test_each_internal_batch_is_counted(org):
    org.wait(org.load("Account", persons(10_001)))
    batches = org.call("GET", "/limits").json()["DailyBulkApiBatches"]
    assert batches["Max"] - batches["Remaining"] == 2


def test_delete_by_id(org):
    person = org.add_person()
    job = org.wait(org.load("Account", f"Id\n{person}\n", operation="delete", externalIdFieldName=None))
    assert job["numberRecordsFailed"] == 0
    assert org.query("SELECT Id FROM Account") == []


def test_a_job_that_a_restart_interrupts_resumes_and_counts_each_row_once(start):
    with start() as first:
        first.fault("job_slow", seconds=30)
        job_id = first.load("Account", persons(10_050))
        assert first.call("GET", f"/jobs/ingest/{job_id}").json()["state"] in {"UploadComplete", "InProgress"}
    with start() as second:
        job = second.wait(job_id)
        assert (job["state"], job["numberRecordsProcessed"]) == ("JobComplete", 10_050)
        assert second.call("GET", "/query", params={"q": "SELECT COUNT() FROM Account"}).json()["totalSize"] == 10_050


def test_query_pages_can_be_read_again(org):
    org.wait(org.load("Account", persons(250)))
    request = {"operation": "query", "query": f"SELECT {KEY} FROM Account ORDER BY {KEY}"}
    job_id = org.call("POST", "/jobs/query", json=request).json()["id"]
    assert org.wait(job_id, "query")["numberRecordsProcessed"] == 250
    first = org.call("GET", f"/jobs/query/{job_id}/results", params={"maxRecords": 200})
    params = {"maxRecords": 200, "locator": first.headers["Sforce-Locator"]}
    pages = [org.call("GET", f"/jobs/query/{job_id}/results", params=params) for _ in range(2)]
    assert pages[0].content == pages[1].content
    assert (pages[0].headers["Sforce-Locator"], pages[0].headers["Sforce-NumberOfRecords"]) == ("null", "50")


def test_query_results_need_the_version_of_the_job(org):
    request = {"operation": "query", "query": "SELECT Id FROM Account"}
    job_id = org.call("POST", "/jobs/query", json=request).json()["id"]
    org.wait(job_id, "query")
    assert org.http.get(f"/services/data/v65.0/jobs/query/{job_id}/results").status_code == 409


@pytest.mark.long
def test_half_a_million_rows_take_a_minute_at_most(org):
    started = time.monotonic()
    job_id = org.load("Account", persons(500_000))
    assert org.wait(job_id, seconds=120)["numberRecordsFailed"] == 0
    assert time.monotonic() - started < 60


@pytest.mark.parametrize(
    "job",
    [
        {"operation": ["insert"], "object": "Account"},
        {"operation": "insert", "object": "Account", "columnDelimiter": []},
        {"operation": "insert", "object": "Account", "lineEnding": {}},
        {"operation": "upsert", "object": "Account", "externalIdFieldName": 5},
    ],
)
def test_a_job_whose_values_are_no_texts_is_refused(org, job):
    response = org.call("POST", "/jobs/ingest", json=job)
    assert (response.status_code, response.json()[0]["errorCode"]) == (400, "INVALIDJOB")


def test_a_query_job_with_an_unknown_delimiter_is_refused(org):
    job = {"operation": "query", "query": "SELECT Id FROM Account", "columnDelimiter": "SLASH"}
    response = org.call("POST", "/jobs/query", json=job)
    assert (response.status_code, response.json()[0]["errorCode"]) == (400, "INVALIDJOB")


@pytest.mark.parametrize("method", ["PATCH", "PUT", "DELETE"])
def test_the_list_of_jobs_cannot_be_changed(org, method):
    assert org.call(method, "/jobs/ingest").status_code == 405
