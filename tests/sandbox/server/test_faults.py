import asyncio
import gzip
import json
import time

import httpx
import pytest

from sandbox.server.calls import Calls
from sandbox.server.clock import Clock
from sandbox.server.faults import Fault, Faults
from sandbox.server.front import Front


def test_latency_delays_the_response(sandbox):
    sandbox.fault("latency", seconds=0.3, times=1)
    start = time.monotonic()
    assert sandbox.get("Portfolio/Assets", _top=1).status_code == 200
    assert time.monotonic() - start >= 0.3


def test_too_many_requests_with_retry_after(sandbox):
    sandbox.fault("too_many_requests", retry_after=7, times=1)
    response = sandbox.get("Portfolio/Assets", _top=1)
    assert (response.status_code, response.headers["Retry-After"]) == (429, "7")
    assert sandbox.get("Portfolio/Assets", _top=1).status_code == 200


def test_too_many_requests_without_retry_after(sandbox):
    sandbox.fault("too_many_requests")
    response = sandbox.get("Portfolio/Assets", _top=1)
    assert response.status_code == 429
    assert "Retry-After" not in response.headers


def test_server_errors_come_in_a_burst_and_end(sandbox):
    sandbox.fault("server_error", status=502, times=3)
    assert [sandbox.get("Portfolio/Assets", _top=1).status_code for _ in range(4)] == [502, 502, 502, 200]


def test_connection_reset_breaks_the_call(sandbox):
    sandbox.fault("connection_reset", times=1)
    with pytest.raises(httpx.ReadError, match="reset"):
        sandbox.get("Portfolio/Assets", _top=1)
    assert sandbox.get("Portfolio/Assets", _top=1).status_code == 200


def read_until_broken(response: httpx.Response) -> tuple[bytes, bool]:
    received = b""
    try:
        for chunk in response.iter_raw():
            received += chunk
    except (httpx.ReadError, httpx.RemoteProtocolError):
        return received, True
    return received, False


def test_body_is_cut_in_the_middle(sandbox):
    sandbox.fault("body_cut", times=1)
    with sandbox.http.stream("GET", "/orion/api/v1/Portfolio/Assets?$top=5") as response:
        received, is_broken = read_until_broken(response)
    whole = sandbox.get("Portfolio/Assets", _top=5).content
    assert (response.status_code, is_broken) == (200, True)
    assert int(response.headers["Content-Length"]) == len(whole)
    assert received == whole[: len(whole) // 2]


def test_html_page_with_status_200(sandbox):
    sandbox.fault("html_page", times=1)
    response = sandbox.get("Portfolio/Assets", _top=1)
    assert (response.status_code, response.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert response.text.startswith("<!DOCTYPE html>")


def test_body_drips(sandbox):
    whole = sandbox.get("Portfolio/Assets", _top=1).content
    sandbox.fault("drip", times=1, bytes=len(whole) // 3, seconds=0.1)
    start = time.monotonic()
    assert sandbox.get("Portfolio/Assets", _top=1).content == whole
    assert time.monotonic() - start >= 0.3


def test_bomb_is_small_on_the_wire_and_an_empty_list_after_decompression(sandbox):
    sandbox.fault("bomb", times=1, bytes=2**20)
    with sandbox.http.stream("GET", "/orion/api/v1/Portfolio/Assets") as response:
        packed = b"".join(response.iter_raw())
    assert response.headers["Content-Encoding"] == "gzip"
    assert len(packed) < 10_000
    assert len(gzip.decompress(packed)) > 2**20
    assert json.loads(gzip.decompress(packed)) == []


@pytest.mark.parametrize(
    ("options", "status", "kind", "location"),
    [({}, 302, "text/html", "/maintenance.html"), ({"status": 403, "body": "json"}, 403, "application/json", None),
     ({"status": 404, "body": "empty"}, 404, None, None)],
)  # fmt: skip
def test_maintenance_response_follows_its_options(sandbox, options, status, kind, location):
    sandbox.fault("maintenance", times=1, **options)
    response = sandbox.http.get("/orion/api/v1/Portfolio/Assets", follow_redirects=False)
    assert response.status_code == status
    assert response.headers.get("Content-Type") == kind
    assert response.headers.get("Location") == location


def test_token_expires_between_two_pages(sandbox):
    sandbox.fault("token_expired", times=1, after=1)
    assert len(sandbox.rows("Portfolio/Assets", _top=2, _orderby="Id")) == 2
    second = sandbox.get("Portfolio/Assets", _top=2, _skip=2, _orderby="Id")
    assert (second.status_code, second.content) == (401, b"")
    sandbox.log_in()
    assert len(sandbox.rows("Portfolio/Assets", _top=2, _skip=2, _orderby="Id")) == 2


def test_rows_removed_while_paging_shift_the_window(sandbox):
    whole = [row["id"] for row in sandbox.rows("Portfolio/Assets", _orderby="Id", _top=10)]
    sandbox.fault("rows_removed", count=2)
    first = [row["id"] for row in sandbox.rows("Portfolio/Assets", _orderby="Id", _top=4)]
    second = [row["id"] for row in sandbox.rows("Portfolio/Assets", _orderby="Id", _top=4, _skip=4)]
    assert (first, second) == (whole[:4], whole[6:10])


def test_rows_added_while_paging_shift_the_window_back(sandbox):
    whole = [row["id"] for row in sandbox.rows("Portfolio/Assets", _orderby="Id", _top=10)]
    sandbox.fault("rows_added", count=1)
    second = [row["id"] for row in sandbox.rows("Portfolio/Assets", _orderby="Id", _top=4, _skip=4)]
    assert second == whole[3:7]


def test_field_is_added(sandbox):
    sandbox.fault("field_added", field="esgScore", value=3)
    assert {row["esgScore"] for row in sandbox.rows("Portfolio/Assets", _top=5)} == {3}


def test_field_is_renamed(sandbox):
    sandbox.fault("field_renamed", field="currentShares", to="shares")
    rows = sandbox.rows("Portfolio/Assets", _top=5)
    assert all("shares" in row and "currentShares" not in row for row in rows)


def test_field_is_retyped(sandbox):
    sandbox.fault("field_retyped", field="productId")
    assert all(isinstance(row["productId"], str) for row in sandbox.rows("Portfolio/Assets", _top=5))


def test_poison_hits_the_same_share_of_rows_for_a_seed(sandbox):
    hit = []
    for _ in range(2):
        fault = sandbox.fault("poison", field="currentValue", value="N/A", share=0.1, seed=3)
        rows = sandbox.rows("Portfolio/Assets", _orderby="Id", _top=500)
        hit.append([row["id"] for row in rows if row["currentValue"] == "N/A"])
        sandbox.http.delete(f"/_sandbox/faults/{fault}")
    assert hit[0] == hit[1]
    assert 25 < len(hit[0]) < 80


def test_poison_of_every_kind_can_be_served(sandbox):
    sandbox.fault("poison", share=0.5, seed=1)
    assert len(sandbox.rows("Portfolio/Assets", _top=300)) == 300


def test_share_of_calls_is_drawn_from_the_seed(sandbox):
    runs = []
    for _ in range(2):
        fault = sandbox.fault("server_error", share=0.5, seed=9)
        runs.append([sandbox.get("Portfolio/Assets", _top=1).status_code for _ in range(12)])
        sandbox.http.delete(f"/_sandbox/faults/{fault}")
    assert runs[0] == runs[1]
    assert set(runs[0]) == {200, 503}


def test_fault_applies_only_to_its_route(sandbox):
    sandbox.fault("server_error", route="portfolio/transactions")
    assert sandbox.get("Portfolio/Assets", _top=1).status_code == 200
    assert sandbox.get("Portfolio/Transactions", _top=1).status_code == 503


def test_wildcard_covers_every_route(sandbox):
    sandbox.fault("server_error", route="portfolio/*")
    assert sandbox.get("Portfolio/Clients").status_code == 503


def test_removed_fault_strikes_no_more_and_is_unknown(sandbox):
    fault = sandbox.fault("server_error")
    assert sandbox.http.delete(f"/_sandbox/faults/{fault}").status_code == 200
    assert sandbox.get("Portfolio/Assets", _top=1).status_code == 200
    assert sandbox.http.delete(f"/_sandbox/faults/{fault}").status_code == 404


def test_faults_report_their_hits(sandbox):
    sandbox.fault("server_error", times=1)
    sandbox.get("Portfolio/Assets")
    assert [(f["kind"], f["hits"]) for f in sandbox.http.get("/_sandbox/faults").json()] == [("server_error", 1)]


def test_impossible_share_is_refused(sandbox):
    wrong = {"route": "*", "kind": "poison", "share": 2}
    assert sandbox.http.post("/_sandbox/faults", json=wrong).status_code == 400


def test_row_kind_of_an_app_keeps_its_share_for_rows():
    faults = Faults()
    faults.add(Fault("/salesforce/*", "row_lock", seed=4, share=0.25))
    taken = faults.take("/salesforce/services/data/v66.0/jobs/ingest", "row_lock")
    assert taken is not None
    assert 150 < sum(taken.picks_row() for _ in range(1000)) < 350


def test_calls_are_counted_by_route_second_and_status(sandbox):
    sandbox.fault("server_error", times=1)
    for day in ("11-10-2026", "11-11-2026"):
        sandbox.get(f"Portfolio/Accounts/Value/{day}")
    for _ in range(3):
        sandbox.get("portfolio/ASSETS", _top=1)
    report = sandbox.http.get("/_sandbox/calls").json()
    assets = report["routes"]["/orion/api/v1/portfolio/assets"]
    assert (assets["count"], assets["status"]) == (3, {"503": 1, "200": 2})
    assert sum(assets["seconds"].values()) == 3
    assert all(second.startswith("2026-11-20T23:00:") for second in assets["seconds"])
    assert report["routes"]["/orion/api/v1/portfolio/accounts/value/{}"]["count"] == 2


def test_call_is_counted_before_its_response_leaves():
    calls, counted = Calls(Clock()), []

    async def response(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async def leave(message):
        counted.append(calls.report()["total"])

    asyncio.run(Front(response, Faults(), calls)({"type": "http", "path": "/orion"}, None, leave))
    assert counted == [1, 1]


def test_clock_runs_n_times_faster(sandbox):
    sandbox.admin("clock", now="2026-11-20T23:00:00+00:00", rate=1000)
    time.sleep(0.2)
    assert sandbox.http.get("/_sandbox/clock").json()["now"] > "2026-11-20T23:03:20"


def test_clock_without_an_offset_is_refused(sandbox):
    assert sandbox.http.post("/_sandbox/clock", json={"now": "2026-11-20T23:00:00"}).status_code == 400
