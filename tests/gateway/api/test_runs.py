"""Runs and replays on demand: a repeated request is stored once, and its status is returned until the run ends."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa

from include.business_dates import latest_closed
from include.control import dead_letters, ledger
from include.control.dead_letters import DeadLetter
from include.control.ledger import Counts, Pull
from include.gateway.api import request_queue
from include.vendors import VENDORS
from tests.conftest import Database
from tests.gateway.api.conftest import Api, read_body, read_problem, run_api

VENDOR = VENDORS[0]
TABLE = VENDOR.requested_tables[0].name
ORDER = {"vendor": VENDOR.name, "tables": [TABLE]}
DAY = date(2026, 11, 23)
REPLAY = {"vendor": VENDOR.name, "table": TABLE, "business_date": "2026-11-23"}
BY_CLIENT = next(each for each in VENDORS if any(table.parent or table.selected for table in each.requested_tables))
FANNED, FAN = next((each, table) for each in VENDORS for table in each.requested_tables if table.parent)


@pytest.fixture
def notifications(database: Database) -> Iterator[Callable[[], list[str]]]:
    """Reads the notifications since the last read."""
    with psycopg.connect(database.url(), autocommit=True) as listening:
        listening.execute(f"listen {request_queue.CHANNEL}".encode())
        yield lambda: [notification.payload for notification in listening.notifies(timeout=0.3)]


def is_waiting(engine: sa.Engine) -> bool:
    with engine.connect() as connection:
        return bool(connection.scalar(sa.text(request_queue.IS_WAITING)))


def pull(run_id: str, pull_id: str = "p1", day: date = DAY) -> Pull:
    return Pull(run_id, VENDOR.name, TABLE, day, pull_id, "current", datetime(2026, 11, 24, 11, tzinfo=UTC))


def insert_dead_letters(engine: sa.Engine, *keys: str) -> list[int]:
    with engine.begin() as connection:
        rows = [DeadLetter(key, ["name: is missing"], "dead.jsonl", n) for n, key in enumerate(keys)]
        dead_letters.insert(connection, pull("r1"), "stage", "v/t/2026-11-23/p1", rows, own_day=False)
        return list(connection.scalars(sa.text("select dead_letter_id from control.dead_letter order by 1")))


# --- requests ---


def test_run_request_is_stored_with_its_parameters_and_notifies(
    api: Api, notifications: Callable[[], list[str]], engine: sa.Engine
) -> None:
    day = latest_closed(datetime.now(UTC)).isoformat()
    accepted = read_body(api.post("/runs", ORDER | {"business_date": day, "wait": False}), 202)
    assert accepted["status_url"] == f"/api/v1/runs/{accepted['id']}"
    assert notifications() == ["run"]
    [request] = request_queue.take(engine)
    assert (request.request_id, request.run_id) == (accepted["id"], f"api__{accepted['id']}")
    assert (request.what, request.vendor) == ("run", VENDOR.name)
    assert request.params == {
        "tables": [TABLE], "business_date": day, "full_refresh": False, "wait": False, "on_demand": True,
    }  # fmt: skip
    assert api.database.value("select caller from control.request") == "token:mule"


def test_run_without_tables_takes_all_and_waits_for_the_vendor(api: Api, engine: sa.Engine) -> None:
    read_body(api.post("/runs", {"vendor": VENDOR.name}), 202)
    [request] = request_queue.take(engine)
    assert request.params["tables"] == [table.name for table in VENDOR.requested_tables]
    assert (request.params["business_date"], request.params["wait"]) == (None, True)


def test_single_clients_are_requested(api: Api, engine: sa.Engine) -> None:
    read_body(api.post("/runs", {"vendor": BY_CLIENT.name, "clients": ["c1", "c-2"]}), 202)
    assert request_queue.take(engine)[0].params["keys"] == ["c1", "c-2"]


def test_only_vendors_with_client_refresh_accept_clients(api: Api, engine: sa.Engine) -> None:
    for vendor in read_body(api.get("/vendors"), 200)["items"]:
        takes = any(table["takes_clients"] for table in vendor["tables"])
        key = "CBJCHBCAABAAv1|rep+sign@firm.example"  # an agreement and the user on whose behalf it is requested
        response = api.post("/runs", {"vendor": vendor["name"], "clients": [key]})
        assert response.status_code == (202 if takes else 422), vendor["name"]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"vendor": "nobody"}, "Unknown vendor"),
        ({"tables": ["pets"]}, "pets"),
        ({"business_date": "2026-11-22"}, "not a trading day"),
        ({"business_date": "2999-01-04"}, "closed yet"),
        ({"business_date": "1999-01-04"}, "too early"),
        ({"business_date": "2026-13-01"}, "business_date"),
        ({"business_date": "2026-11-23T10:00:00"}, "business_date"),
        ({"business_date": 20261123}, "business_date"),
        ({"wait": "yes"}, "wait"),
        ({"tables": TABLE}, "tables"),
        ({"clients": ["../accounts"]}, "clients"),
        ({"clients": ["a,b"]}, "clients"),
        ({"unknown": 1}, "unknown"),
    ],
)
def test_run_that_can_not_be_had_is_refused_with_its_reason(api: Api, change: dict[str, Any], reason: str) -> None:
    assert reason in read_problem(api.post("/runs", ORDER | change), 422)
    assert api.database.value("select count(*) from control.request") == 0
    assert api.database.value("select count(*) from control.idempotency") == 0


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b"\xff", b'{"vendor": NaN}', b"[" * 5000])
def test_body_that_is_no_order_is_refused(api: Api, body: bytes) -> None:
    read_problem(api.post("/runs", body), 422)


def test_body_of_another_kind_is_refused(api: Api) -> None:
    read_problem(api.post("/runs", b"vendor=x", **{"Content-Type": "application/x-www-form-urlencoded"}), 415)


def test_body_that_is_too_large_is_refused(api: Api) -> None:
    read_problem(api.post("/runs", b" " * (256 * 1024 + 1)), 413)


# --- idempotency ---


def test_the_same_attempt_is_one_run_with_the_same_response(api: Api, notifications: Callable[[], list[str]]) -> None:
    first = read_body(api.post("/runs", ORDER, key="the-same-1"), 202)
    api.database.do("update control.request set state = 'failed', ended_at = now()")
    assert read_body(api.post("/runs", ORDER, key="the-same-1"), 202) == first
    assert api.database.value("select count(*) from control.request") == 1
    assert notifications() == ["run"]


def test_repeated_attempt_that_would_now_be_rejected_gets_its_first_response(api: Api, engine: sa.Engine) -> None:
    insert_dead_letters(engine, "k1")
    first = read_body(api.post("/dead-letters/replays", REPLAY, key="the-same-1"), 202)
    api.database.do("update control.dead_letter set status = 'replayed'")
    assert read_body(api.post("/dead-letters/replays", REPLAY, key="the-same-1"), 202) == first


def test_one_key_for_two_things_is_refused(api: Api, engine: sa.Engine) -> None:
    insert_dead_letters(engine, "k1")
    read_body(api.post("/runs", ORDER, key="the-same-1"), 202)
    for path, body in (("/runs", ORDER | {"wait": False}), ("/dead-letters/replays", REPLAY)):
        assert "Idempotency-Key" in read_problem(api.post(path, body, key="the-same-1"), 422)
    assert api.database.value("select count(*) from control.request") == 1


def test_keys_of_two_callers_are_apart(api: Api, make_key: Callable[..., str]) -> None:
    first = read_body(api.post("/runs", ORDER, key="the-same-1"), 202)
    headers = {"X-API-Key": make_key("mule"), "Idempotency-Key": "the-same-1"}
    assert read_body(api.http.post("/runs", json=ORDER, headers=headers), 202)["id"] != first["id"]


def test_attempts_at_once_are_one_run(api: Api, provider: Any, database: Database) -> None:
    # Two processes share only the database.
    with run_api(database, provider) as other, ThreadPoolExecutor(16) as threads:
        responses = list(threads.map(lambda n: (api, other)[n % 2].post("/runs", ORDER, key="the-same-1"), range(40)))
    assert {response.status_code for response in responses} == {202}
    assert len({response.json()["id"] for response in responses}) == 1
    assert database.value("select count(*) from control.request") == 1


def test_different_things_at_once_under_one_key_are_one_run(api: Api) -> None:
    orders = [ORDER | {"clients": []} if n % 2 else ORDER for n in range(20)]
    with ThreadPoolExecutor(10) as threads:
        responses = list(threads.map(lambda order: api.post("/runs", order, key="the-same-1"), orders))
    assert sorted(response.status_code for response in responses) == [202] * 10 + [422] * 10
    assert api.database.value("select count(*) from control.request") == 1


def test_key_is_forgotten_after_a_day(api: Api, engine: sa.Engine) -> None:
    first = read_body(api.post("/runs", ORDER, key="the-same-1"), 202)
    api.database.do("update control.idempotency set answered_at = answered_at - interval '24 hours 1 second'")
    assert read_body(api.post("/runs", ORDER, key="the-same-1"), 202)["id"] != first["id"]
    api.database.do("update control.idempotency set answered_at = answered_at - interval '26 hours'")
    request_queue.forget_answers(engine)
    assert api.database.value("select count(*) from control.idempotency") == 0


@pytest.mark.parametrize("key", ["short", "with blank inside", "x" * 201, "ümlaut-key"])
def test_key_that_is_none_is_refused(api: Api, key: str) -> None:
    headers = api.bearer() | {"Idempotency-Key": key.encode()}
    assert "Idempotency-Key" in read_problem(api.http.post("/runs", json=ORDER, headers=headers), 422)


def test_without_a_key_nothing_is_started(api: Api) -> None:
    assert "Idempotency-Key" in read_problem(api.http.post("/runs", json=ORDER, headers=api.bearer()), 422)


# --- replays ---


def test_replay_is_kept_as_the_form_of_its_dag(api: Api, engine: sa.Engine) -> None:
    ids = insert_dead_letters(engine, "k1", "k2")
    read_body(api.post("/dead-letters/replays", REPLAY | {"dead_letters": ids[:1], "dry_run": True}), 202)
    [request] = request_queue.take(engine)
    assert request.what == "replay"
    assert request.params == {
        "table": f"{VENDOR.name}.{TABLE}", "business_date": "2026-11-23", "dead_letters": ids[:1], "dry_run": True,
    }  # fmt: skip


@pytest.mark.parametrize("dead_letters", [[], [2**52]])
def test_replay_of_closed_dead_letters_is_rejected(api: Api, engine: sa.Engine, dead_letters: list[int]) -> None:
    if dead_letters:
        insert_dead_letters(engine, "k1")
    assert "open dead letters" in read_problem(
        api.post("/dead-letters/replays", REPLAY | {"dead_letters": dead_letters}), 422
    )


def test_replay_of_a_fan_out_is_refused(api: Api) -> None:
    order = {"vendor": FANNED.name, "table": FAN.name, "business_date": "2026-11-23"}
    assert "start a run" in read_problem(api.post("/dead-letters/replays", order), 422)


# --- status ---


def request_run(api: Api) -> str:
    return str(read_body(api.post("/runs", ORDER), 202)["id"])


def state_of(api: Api, run: str) -> str:
    return str(read_body(api.get(f"/runs/{run}"), 200)["state"])


def test_state_follows_the_run(api: Api, engine: sa.Engine) -> None:
    run = request_run(api)
    assert is_waiting(engine)
    assert state_of(api, run) == "waiting"
    [request] = request_queue.take(engine)
    for run_state, state in (("queued", "started"), ("running", "started"), ("success", "succeeded")):
        request_queue.settle(engine, request, run_state)
        assert state_of(api, run) == state
        assert not is_waiting(engine)
    request_queue.settle(engine, request, "failed")
    assert state_of(api, run) == "succeeded"
    assert request_queue.open_requests(engine) == []
    assert read_body(api.get(f"/runs/{run}"), 200)["ended_at"]


def test_started_or_ended_run_is_returned(api: Api, engine: sa.Engine) -> None:
    def read_since(moment: datetime) -> list[str]:
        return [run["id"] for run in read_body(api.get("/runs", since=moment.isoformat()), 200)["items"]]

    run = request_run(api)
    [request] = request_queue.take(engine)
    for state in ("running", "success"):
        seen_at = api.database.value("select clock_timestamp()")
        assert read_since(seen_at) == []
        request_queue.settle(engine, request, state)
        assert read_since(seen_at) == [run]


def test_failed_run_is_returned_as_failed(api: Api, engine: sa.Engine) -> None:
    run = request_run(api)
    request_queue.settle(engine, request_queue.take(engine)[0], "failed")
    body = read_body(api.get(f"/runs/{run}"), 200)
    assert (body["state"], bool(body["detail"])) == ("failed", True)


def test_request_that_can_not_be_started_is_given_up_after_some_tries(api: Api, engine: sa.Engine) -> None:
    run = request_run(api)
    for _ in range(request_queue.MOST_TRIES):
        assert state_of(api, run) == "waiting"
        [request] = request_queue.take(engine)
        request_queue.settle(engine, request, None)
    assert state_of(api, run) == "failed"
    assert request_queue.take(engine) == []


def test_run_under_way_is_looked_at_again_after_a_while(api: Api, engine: sa.Engine) -> None:
    request_run(api)
    request_queue.settle(engine, request_queue.take(engine)[0], "running")
    api.database.do("update control.request set checked_at = checked_at - interval '3 minutes'")
    assert is_waiting(engine)


def test_requests_are_taken_in_their_order_and_some_at_a_time(api: Api, engine: sa.Engine) -> None:
    ids = [request_run(api) for _ in range(3)]
    assert [request.request_id for request in request_queue.take(engine, 2)] == ids[:2]


def test_steps_of_the_run_are_returned(api: Api, engine: sa.Engine) -> None:
    run = request_run(api)
    with engine.begin() as connection:
        ledger.record(connection, pull(f"api__{run}"), "stage", Counts(fetched=5, staged=3, duplicate=1, dead=1))
        ledger.record(connection, pull("scheduled", "p2"), "stage", Counts(fetched=9, staged=9))
        ledger.record(connection, pull(f"api__{run}"), "load", Counts(produced=3, inserted=2, unchanged=1), "household")
    steps = read_body(api.get(f"/runs/{run}"), 200)["steps"]
    assert [(s["stage"], s["table"], s["entity"], s["fetched"], s["inserted"]) for s in steps] == [
        ("stage", TABLE, "", 5, 0),
        ("load", TABLE, "household", 0, 2),
    ]


def test_unrequested_run_is_not_found(api: Api) -> None:
    assert "Run not found" in read_problem(api.get("/runs/1b4e28ba-2fa1-4d3b-a3f5-ef19b5a7633b"), 404)
    read_problem(api.get("/runs/1"), 422)


def test_default_day_is_the_latest_closed_one(api: Api) -> None:
    day = latest_closed(datetime.now(UTC))
    read_body(api.post("/runs", ORDER | {"business_date": day.isoformat()}), 202)
    read_problem(api.post("/runs", ORDER | {"business_date": (day + timedelta(days=30)).isoformat()}), 422)
