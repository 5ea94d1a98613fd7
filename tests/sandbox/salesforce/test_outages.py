"""An org that rejects calls in the middle of a load: locks, exhausted limits, expired sessions, an hour of downtime."""

import csv
import io

KEY = "Tributary_Key__c"
JOBS = "*/jobs/ingest/*"


def persons(count: int) -> str:
    return f"{KEY},Name\n" + "".join(f"P{i},Person {i}\n" for i in range(count))


def keys(text: str) -> set[str]:
    return {row[KEY] for row in csv.DictReader(io.StringIO(text))}


def usage(response) -> str:
    return response.headers["Sforce-Limit-Info"]


def test_locks_on_a_third_of_the_rows_leave_the_others_of_a_job(org):
    org.fault("row_lock", JOBS, share=0.3, seed=5)
    job_id = org.load("Account", persons(1000))
    job = org.wait(job_id)
    done, failed = (keys(org.results(job_id, kind)) for kind in ("successfulResults", "failedResults"))
    assert job["state"] == "JobComplete"
    assert 250 < len(failed) == job["numberRecordsFailed"] < 350
    assert (done | failed, done & failed) == ({f"P{i}" for i in range(1000)}, set())


def test_locks_on_a_third_of_the_rows_leave_the_others_of_a_collection(org):
    org.fault("row_lock", "*/composite/sobjects/*", share=0.3, seed=5)
    results = org.upsert("Account", *({KEY: f"P{i}", "Name": "Person"} for i in range(200)))
    failed = [row["errors"][0]["statusCode"] for row in results if not row["success"]]
    assert 40 < len(failed) < 80
    assert set(failed) == {"UNABLE_TO_LOCK_ROW"}
    assert len(org.query("SELECT Id FROM Account")) == 200 - len(failed)


def test_a_daily_limit_runs_out_as_the_org_reports(org):
    org.http.post("/_admin/limits", json={"DailyApiRequests": {"Max": 100_000, "Remaining": 3}})
    responses = [org.call("GET", "/limits") for _ in range(4)]
    assert [usage(response) for response in responses] == [
        f"api-usage={used}/100000" for used in (99_998, 99_999, 100_000, 100_000)
    ]
    assert [a.json()["DailyApiRequests"]["Remaining"] for a in responses[:3]] == [2, 1, 0]
    assert (responses[3].status_code, responses[3].json()[0]["errorCode"]) == (403, "REQUEST_LIMIT_EXCEEDED")
    org.http.post("/_admin/limits", json={"DailyApiRequests": 100_000})
    assert org.call("GET", "/limits").status_code == 200


def test_a_daily_limit_that_runs_out_stops_collections_between_two_calls(org):
    org.http.post("/_admin/limits", json={"DailyApiRequests": 1})
    assert org.upsert("Account", {KEY: "P1", "Name": "Ada"})[0]["success"]
    body = {"records": [{"attributes": {"type": "Account"}, KEY: "P2", "Name": "Ben"}]}
    assert org.call("PATCH", f"/composite/sobjects/Account/{KEY}", json=body).status_code == 403
    org.http.post("/_admin/limits", json={"DailyApiRequests": 10})
    assert [row[KEY] for row in org.query(f"SELECT {KEY} FROM Account")] == ["P1"]


def test_a_job_continues_while_the_calls_of_the_day_are_used_up(org):
    org.fault("job_slow", JOBS, seconds=0.3)
    job_id = org.load("Account", persons(10))
    org.http.post("/_admin/limits", json={"DailyApiRequests": 0})
    assert org.call("GET", f"/jobs/ingest/{job_id}").status_code == 403
    org.http.post("/_admin/limits", json={"DailyApiRequests": 1000})
    assert org.wait(job_id)["numberRecordsProcessed"] == 10


def test_a_job_fails_where_the_batches_of_the_day_end(org):
    org.http.post("/_admin/limits", json={"DailyBulkApiBatches": {"Max": 15_000, "Remaining": 1}})
    job_id = org.load("Account", persons(10_005))
    job = org.wait(job_id)
    assert (job["state"], job["errorMessage"]) == ("Failed", "ExceededQuota : ApiBatchItems Limit exceeded.")
    assert job["numberRecordsProcessed"] == 10_000
    assert keys(org.results(job_id, "unprocessedrecords")) == {f"P{i}" for i in range(10_000, 10_005)}
    assert org.call("GET", "/limits").json()["DailyBulkApiBatches"] == {"Max": 15_000, "Remaining": 0}


def test_a_session_that_ends_during_a_job_needs_a_login_and_nothing_else(org):
    job_id = org.load("Account", b"", upload=False)
    org.fault("token_expired", f"{JOBS}/batches", times=1)
    refused = org.call("PUT", f"/jobs/ingest/{job_id}/batches", content=persons(5))
    assert (refused.status_code, refused.json()[0]["errorCode"]) == (401, "INVALID_SESSION_ID")
    org.log_in()
    assert org.call("PUT", f"/jobs/ingest/{job_id}/batches", content=persons(5)).status_code == 201
    org.call("PATCH", f"/jobs/ingest/{job_id}", json={"state": "UploadComplete"})
    assert org.wait(job_id)["numberRecordsProcessed"] == 5


def test_a_session_that_ends_between_two_collections_writes_nothing(org):
    org.fault("token_expired", "*/composite/sobjects/*", times=1, after=1)
    org.upsert("Account", {KEY: "P1", "Name": "Ada"})
    body = {"records": [{"attributes": {"type": "Account"}, KEY: "P2", "Name": "Ben"}]}
    assert org.call("PATCH", f"/composite/sobjects/Account/{KEY}", json=body).status_code == 401
    org.log_in()
    assert [row[KEY] for row in org.query(f"SELECT {KEY} FROM Account")] == ["P1"]


def test_an_org_that_is_down_rejects_all_calls_until_it_is_up(org):
    org.fault("job_slow", JOBS, seconds=0.3)
    job_id = org.load("Account", persons(10))
    org.fault("unavailable", "*/services/*")
    form = {"grant_type": "client_credentials", "client_id": "3MVG9sample", "client_secret": "sample-secret"}
    responses = [
        org.http.post("/services/oauth2/token", data=form),
        org.call("GET", f"/jobs/ingest/{job_id}"),
        org.call("POST", "/jobs/query", json={"operation": "query", "query": "SELECT Id FROM Account"}),
        org.call("PATCH", f"/composite/sobjects/Account/{KEY}", json={}),
        org.call("GET", "/limits"),
    ]
    assert {(a.status_code, a.json()[0]["errorCode"]) for a in responses} == {(503, "SERVER_UNAVAILABLE")}
    org.faults.clear()
    assert org.wait(job_id)["numberRecordsProcessed"] == 10
