"""Faults on demand in the sandbox org."""

import csv
import io
import time

KEY = "Tributary_Key__c"


def persons(count: int) -> str:
    return f"{KEY},Name\n" + "".join(f"P{i},Person {i}\n" for i in range(count))


def keys(text: str) -> set[str]:
    return {row[KEY] for row in csv.DictReader(io.StringIO(text))}


def test_row_locks_fail_a_share_of_the_rows_and_the_next_load_takes_them(org):
    org.fault("row_lock", "*/jobs/ingest/*", share=0.2, seed=3, times=1)
    job_id = org.load("Account", persons(500))
    job = org.wait(job_id)
    failed = org.results(job_id, "failedResults")
    assert 60 < job["numberRecordsFailed"] < 140
    assert failed.count("UNABLE_TO_LOCK_ROW:unable to obtain exclusive access to this record:--") == len(keys(failed))
    assert org.wait(org.load("Account", persons(500)))["numberRecordsFailed"] == 0


def test_row_locks_of_a_seed_hit_the_same_rows(org):
    hit = []
    for _ in range(2):
        org.fault("row_lock", "*/jobs/ingest/*", share=0.2, seed=3, times=1)
        job_id = org.load("Account", persons(100))
        org.wait(job_id)
        hit.append(keys(org.results(job_id, "failedResults")))
    assert hit[0] == hit[1]


def test_children_of_one_parent_in_two_batches_lock_each_other(org):
    org.add_person()
    header = f"{KEY},Name,FinServ__PrimaryOwner__r.{KEY}\n"
    org.fault("row_parent_lock", "*/jobs/ingest/*")
    text = header + "".join(f"A{i},Account {i},P1\n" for i in range(10_005))
    job_id = org.load("FinServ__FinancialAccount__c", text)
    org.wait(job_id)
    assert keys(org.results(job_id, "failedResults")) == {f"A{i}" for i in range(10_000, 10_005)}


def test_row_locks_also_hit_collections(org):
    org.fault("row_lock", "*/composite/sobjects/*")
    assert org.error("Account", {KEY: "P1", "Name": "Ada"})["statusCode"] == "UNABLE_TO_LOCK_ROW"


def test_a_failed_job_leaves_its_other_rows_unprocessed(org):
    org.fault("job_failed", "*/jobs/ingest/*", processed=30, times=1)
    job_id = org.load("Account", persons(100))
    job = org.wait(job_id)
    done, left = (keys(org.results(job_id, kind)) for kind in ("successfulResults", "unprocessedrecords"))
    assert (job["state"], len(done), len(left)) == ("Failed", 30, 70)
    assert done | left == {f"P{i}" for i in range(100)}


def test_a_slow_job_takes_its_time(org):
    org.fault("job_slow", "*/jobs/ingest/*", seconds=0.5)
    started = time.monotonic()
    job_id = org.load("Account", persons(1))
    assert org.call("GET", f"/jobs/ingest/{job_id}").json()["state"] in {"UploadComplete", "InProgress"}
    org.wait(job_id)
    assert time.monotonic() - started > 0.5


def test_an_expired_token_is_refused_until_a_new_login(org):
    org.fault("token_expired", times=1)
    responses = [org.call("GET", "/limits") for _ in range(2)]
    assert [response.status_code for response in responses] == [401, 401]
    assert responses[0].json() == [{"message": "Session expired or invalid", "errorCode": "INVALID_SESSION_ID"}]
    org.log_in()
    assert org.call("GET", "/limits").status_code == 200


def test_the_request_limit_and_an_unavailable_server(org):
    org.fault("request_limit", times=1)
    limit = org.call("GET", "/limits")
    org.fault("unavailable", times=1)
    unavailable = org.call("GET", "/limits")
    assert (limit.status_code, limit.json()[0]["errorCode"]) == (403, "REQUEST_LIMIT_EXCEEDED")
    assert (unavailable.status_code, unavailable.json()[0]["errorCode"]) == (503, "SERVER_UNAVAILABLE")


def test_calls_beyond_the_days_allowance_are_refused(org):
    org.http.post("/_admin/limits", json={"DailyApiRequests": 2})
    statuses = [org.call("GET", "/limits").status_code for _ in range(3)]
    assert statuses == [200, 200, 403]
