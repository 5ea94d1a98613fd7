"""Pushed records: stored unchanged in the inbox, once per idempotency key, under a sender name that no vendor has."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest

from include.contract import Table, Vendor
from include.control import inbox
from include.gateway import bounds
from include.gateway.api.reading import is_pushable, key_fields
from include.vendors import VENDORS
from tests.conftest import Database
from tests.firm_keys import open_body
from tests.gateway.api.conftest import Api, read_body, read_problem
from tests.pushed_rows import whole_row

VENDOR, TABLE = next(
    (v, t) for v in VENDORS for t in v.requested_tables if is_pushable(v, t) and not t.has_objects and len(t.key) == 1
)
[KEY] = key_fields(TABLE)
PLACE = f"/vendors/{VENDOR.name}/tables/{TABLE.name}/records"
SENDER = f"push.{VENDOR.name}.{TABLE.name}"
ROW = whole_row(TABLE)
BODY = json.dumps([ROW | {KEY: 1, "amount": 0.1000}, ROW | {KEY: 2}], indent=1).encode()
OPTIONAL = next(col.source for col in TABLE.columns if col.kind == "value" and not col.required)
CLOSED = [(v.name, t.name) for v in VENDORS for t in v.tables if t not in v.requested_tables or not is_pushable(v, t)]


@pytest.fixture
def notifications(database: Database) -> Iterator[Callable[[], list[str]]]:
    """Reads the notifications since the last read."""
    with psycopg.connect(database.url(), autocommit=True) as listening:
        listening.execute(f"listen {inbox.CHANNEL}".encode())
        yield lambda: [notification.payload for notification in listening.notifies(timeout=0.3)]


def read_stored(api: Api) -> list[dict[str, Any]]:
    rows = api.database.rows("select * from control.inbox order by inbox_id")
    return [row | {"body": open_body(row)} for row in rows]


def test_records_are_stored_byte_for_byte_and_notify(api: Api, notifications: Callable[[], list[str]]) -> None:
    receipt = read_body(api.post(PLACE, BODY), 202)
    [row] = read_stored(api)
    assert (row["sender"], row["body"], row["event_id"]) == (SENDER, BODY, receipt["id"])
    assert row["headers"] == {"caller": "token:mule"}
    assert notifications() == [SENDER]


def test_push_status_is_returned(api: Api) -> None:
    receipt = read_body(api.post(PLACE, BODY), 202)
    assert receipt["status_url"] == f"/api/v1/pushes/{receipt['id']}"
    for statement, state in (
        ("select 1", "waiting"),
        ("update control.inbox set processed_at = now()", "processed"),
        ("update control.inbox set error = 'accounts: id is missing'", "error"),
    ):
        api.database.do(statement)
        push = read_body(api.get(f"/pushes/{receipt['id']}"), 200)
        assert (push["state"], push["vendor"], push["table"]) == (state, VENDOR.name, TABLE.name)
    assert push["error"] == "accounts: id is missing"


def test_delivery_of_a_vendor_is_no_push(api: Api) -> None:
    event = "1b4e28ba-2fa1-4d3b-a3f5-ef19b5a7633b"
    api.database.do(
        "insert into control.inbox (sender, body, content_hash, event_id, headers) values ('docusign', '', 'h', :event, '{}')",
        event=event,
    )
    read_problem(api.get(f"/pushes/{event}"), 404)


def test_the_same_attempt_is_kept_once(api: Api, notifications: Callable[[], list[str]]) -> None:
    with ThreadPoolExecutor(8) as threads:
        ids = list(threads.map(lambda _: read_body(api.post(PLACE, BODY, key="the-same-1"), 202)["id"], range(16)))
    assert len(set(ids)) == len(read_stored(api)) == 1
    assert notifications() == [SENDER]


def test_large_bodies_share_the_gateway_s_budget_and_give_it_back(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    large = json.dumps([ROW | {"note": "x" * 300_000}]).encode()
    monkeypatch.setattr(bounds, "IN_FLIGHT", bounds.Budget(300_000))
    assert [api.post(PLACE, large).status_code for _ in range(3)] == [202] * 3
    monkeypatch.setattr(bounds, "IN_FLIGHT", bounds.Budget(200_000))
    read_problem(api.post(PLACE, large), 503)
    read_body(api.post(PLACE, BODY), 202)


def test_records_that_are_set_back_to_what_they_were_are_kept_again(api: Api) -> None:
    first, other = BODY, BODY.replace(b"0.1", b"0.2")
    for body in (first, other, first):
        read_body(api.post(PLACE, body), 202)
    assert [row["body"] for row in read_stored(api)] == [first, other, first]


def test_one_key_for_other_records_is_refused(api: Api) -> None:
    read_body(api.post(PLACE, BODY, key="the-same-1"), 202)
    read_problem(api.post(PLACE, BODY + b" ", key="the-same-1"), 422)
    assert len(read_stored(api)) == 1


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "not valid JSON"), (b"{", "not valid JSON"), (b"\xff", "not valid JSON"), (b"[NaN]", "not valid JSON"), (b"{}", "array"), (b"[]", "array"),
        (b"[1]", "Row 0: the row is not an object"), (b"[" * 100_000, "not valid JSON"), (b"[" + b"[" * 51 + b"]" * 52, "nested deeper"),
        (json.dumps([ROW] * 10_001), "10000 rows"), (b"[" + b"," * 2_000_001, "values"),
    ],
    ids=range(11),
)  # fmt: skip
def test_body_that_is_no_rows_of_the_table_is_refused(api: Api, body: Any, reason: str) -> None:
    assert reason in read_problem(api.post(PLACE, body), 422)
    assert read_stored(api) == []


def test_ten_thousand_rows_are_taken(api: Api) -> None:
    read_body(api.post(PLACE, json.dumps([ROW | {KEY: n} for n in range(10_000)])), 202)


def test_body_of_more_than_16_mb_is_refused(api: Api) -> None:
    read_problem(api.post(PLACE, b" " * (16 * 1024 * 1024 + 1)), 413)


@pytest.mark.parametrize(("vendor", "table"), [*CLOSED, ("nobody", "accounts"), (VENDOR.name, "pets")])
def test_table_that_takes_no_records_is_not_found(api: Api, vendor: str, table: str) -> None:
    read_problem(api.post(f"/vendors/{vendor}/tables/{table}/records", BODY), 404)


SUMMED = sorted({(vendor.name, each.table) for vendor in VENDORS for each in vendor.maps if each.summed})


@pytest.mark.parametrize(("vendor", "table"), SUMMED)
def test_rows_that_are_added_up_can_not_be_pushed(api: Api, vendor: str, table: str) -> None:
    """Some lots of a position would replace the sum of all lots."""
    read_problem(api.post(f"/vendors/{vendor}/tables/{table}/records", BODY), 404)


REQUESTED = {f"{vendor.name}.{table.name}": (vendor, table) for vendor in VENDORS for table in vendor.requested_tables}


@pytest.mark.parametrize(("vendor", "table"), REQUESTED.values(), ids=REQUESTED)
def test_what_vendors_lists_is_what_can_be_pushed(api: Api, vendor: Vendor, table: Table) -> None:
    [listed] = [each for v in read_body(api.get("/vendors"), 200)["items"] if v["name"] == vendor.name for each in v["tables"]
                if each["name"] == table.name]  # fmt: skip
    status = api.post(f"/vendors/{vendor.name}/tables/{table.name}/records", [whole_row(table)]).status_code
    assert status == (202 if listed["is_pushable"] else 404)


# --- rejected rows ---


def test_response_names_each_rejected_row_and_its_fields_and_the_good_rows_are_stored(api: Api) -> None:
    partial = {name: value for name, value in ROW.items() if name != OPTIONAL}
    body = json.dumps([partial, ROW, 7, ROW | {KEY: None}, ROW | {KEY: 2, OPTIONAL: {"a": 1}}])
    receipt = read_body(api.post(PLACE, body), 202)
    assert receipt["accepted"] == 1
    kind = next(col.type for col in TABLE.columns if col.source == OPTIONAL)
    assert receipt["rejected"] == [
        {"row": 0, "fields": [OPTIONAL], "reasons": [f"{OPTIONAL}: absent"]},
        {"row": 2, "fields": [], "reasons": ["the row is not an object"]},
        {"row": 3, "fields": [KEY], "reasons": [f"{KEY}: missing"]},
        {"row": 4, "fields": [OPTIONAL], "reasons": [f"{OPTIONAL}: not {kind}"]},
    ]
    assert [row["body"] for row in read_stored(api)] == [body.encode()]


def test_same_attempt_returns_the_same_rows(api: Api) -> None:
    body = json.dumps([{KEY: 1}, ROW])
    first, second = (read_body(api.post(PLACE, body, key="the-same-1"), 202) for _ in range(2))
    assert first == second
    assert (first["accepted"], len(first["rejected"])) == (1, 1)


def test_push_of_which_no_row_is_accepted_is_refused_with_its_rows_and_nothing_is_kept(api: Api) -> None:
    response = api.post(PLACE, [{KEY: 1}, {KEY: 2}])
    assert "nothing was stored. Row 0: " in read_problem(response, 422)
    assert [each["row"] for each in response.json()["rejected"]] == [0, 1]
    assert OPTIONAL in response.json()["rejected"][0]["fields"]
    assert read_stored(api) == []


def test_push_of_which_more_than_a_thousand_rows_are_rejected_is_refused_whole(api: Api) -> None:
    read_body(api.post(PLACE, [ROW, *[{KEY: 1}] * 1_000]), 202)
    response = api.post(PLACE, [ROW, *[{KEY: 1}] * 1_001])
    assert "More than 1000 rows" in read_problem(response, 422)
    assert len(response.json()["rejected"]) == 1_000
    assert len(read_stored(api)) == 1


@pytest.mark.parametrize(
    ("error", "outcome", "state"),
    [
        (None, {"rows": 2, "dead": 0, "rejected": [], "outdated": 1}, "processed"),
        ("bad", {"rows": 2, "dead": 1, "rejected": [{"row": 1, "reasons": ["id: not int64: aaaa"]}]}, "partial"),
        ("bad", {"rows": 1, "dead": 1, "rejected": [{"row": 0, "reasons": ["id: absent"]}]}, "error"),
        ("The database refuses the rows", None, "error"),
    ],
)
def test_outcome_of_each_row_is_returned(api: Api, error: str | None, outcome: Any, state: str) -> None:
    receipt = read_body(api.post(PLACE, BODY), 202)
    api.database.do(
        "update control.inbox set processed_at = now(), error = :error, outcome = cast(:outcome as jsonb)",
        error=error,
        outcome=outcome and json.dumps(outcome),
    )
    push = read_body(api.get(f"/pushes/{receipt['id']}"), 200)
    assert (push["state"], push["error"]) == (state, error)
    assert (push["rows"], push["dead"]) == ((outcome["rows"], outcome["dead"]) if outcome else (None, None))
    assert push["outdated"] == (outcome or {}).get("outdated")
    rejected = [(each["row"], each["fields"]) for each in push["rejected"]]
    assert rejected == [(each["row"], ["id"]) for each in (outcome or {"rejected": []})["rejected"]]


# --- withdrawals ---


def test_withdrawal_is_stored_once_and_notifies(api: Api, notifications: Callable[[], list[str]]) -> None:
    push = read_body(api.post(PLACE, BODY), 202)["id"]
    notifications()
    receipt = read_body(api.post(f"/pushes/{push}/withdrawal", ""), 202)
    assert (receipt["id"], receipt["status_url"]) == (push, f"/api/v1/pushes/{push}")
    again = read_body(api.post(f"/pushes/{push}/withdrawal", ""), 202)
    assert again["id"] == push
    [_, row] = read_stored(api)
    assert (row["sender"], row["event_id"], row["copies"]) == (f"withdraw.{VENDOR.name}.{TABLE.name}", push, 2)
    assert (row["headers"], bytes(row["body"])) == ({"caller": "token:mule"}, b"")
    assert set(notifications()) == {row["sender"]}
    shown = read_body(api.get(f"/pushes/{push}"), 200)
    assert (shown["state"], shown["withdrawn_at"], shown["withdrawn"]) == ("waiting", None, None)
    assert shown["withdrawal_requested_at"]


def test_same_attempt_to_withdraw_returns_the_same(api: Api) -> None:
    push, other = (read_body(api.post(PLACE, BODY), 202)["id"] for _ in range(2))
    first, second = (read_body(api.post(f"/pushes/{push}/withdrawal", "", key="the-same-1"), 202) for _ in range(2))
    assert first == second
    read_problem(api.post(f"/pushes/{other}/withdrawal", "", key="the-same-1"), 422)


def test_push_of_another_caller_can_not_be_withdrawn(api: Api) -> None:
    push = read_body(api.post(PLACE, BODY), 202)["id"]
    other = api.bearer(api.provider.token(sub="another"))
    assert "Only the caller that pushed" in read_problem(api.post(f"/pushes/{push}/withdrawal", "", **other), 403)
    assert len(read_stored(api)) == 1
    assert len(api.database.rows("select from control.idempotency")) == 1


def test_delivery_that_is_no_push_can_not_be_withdrawn(api: Api) -> None:
    event = "1b4e28ba-2fa1-4d3b-a3f5-ef19b5a7633b"
    api.database.do(
        "insert into control.inbox (sender, body, content_hash, event_id, headers) values ('docusign', '', 'h', :event, '{}')",
        event=event,
    )
    read_problem(api.post(f"/pushes/{event}/withdrawal", ""), 404)
