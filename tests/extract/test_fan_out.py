"""One call per parent row: its requests, its pages, and the rows of its responses."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from include.connection import Connection
from include.contract import INTEGER, STRING, Budget, FanOut, Linked, Table, Vendor, column, ignored, sensitive
from include.control.answers import Answers
from include.errors import ConfigurationError, PagingUnstable, SchemaDrift, VendorUnavailable
from include.extract.source import Keys
from include.pipeline import vendor_day
from include.pipeline.run import Run, Site, VendorRun
from include.staging.partitions import Staging
from tests.conftest import Database
from tests.extract.fan_out_firm import (
    ACCOUNTS,
    CLIENTS,
    VENDOR,
    Serve,
    account,
    accounts,
    client_of,
    clients,
    read_stored_responses,
)
from tests.extract.vendor_server import DAY, NOW, RecordedCall, Reply, vendor_of
from tests.firm_keys import KEYRING

# --- requests ---


def test_every_key_is_requested_once_and_rows_have_their_key(serve: Serve) -> None:
    puller, listener = serve(accounts)
    rows = puller.rows(ACCOUNTS, keys=clients("b", "a", "c"))
    assert sorted(listener.paths) == [f"/clients/{id_}/accounts" for id_ in "abc"]
    assert [(row["client_id"], row["account_id"]) for row in rows] == [
        (id_, f"{id_}-{n}") for id_ in "abc" for n in range(2)
    ]  # fmt: skip
    assert {row["requested_at"] for row in rows} == {NOW}


def test_a_row_whose_key_is_a_tax_id_is_dead(serve: Serve) -> None:
    puller, _ = serve(lambda call: Reply([account("111-22-6789", 1), account("fine", 2)]))
    partition = puller.pull(ACCOUNTS, keys=clients("a"))
    assert [row["account_id"] for _, part in partition.rows() for row in part.to_pylist()] == ["fine"]
    assert partition.manifest.dead == 1


def test_keys_are_one_path_segment(serve: Serve) -> None:
    puller, listener = serve(lambda call: Reply([]))
    puller.rows(ACCOUNTS, keys=clients("a/b", "é ?"))
    assert sorted(listener.paths) == ["/clients/%C3%A9%20%3F/accounts", "/clients/a%2Fb/accounts"]


def test_several_keys_make_one_path_and_one_carried_row(serve: Serve) -> None:
    table = Table(
        "goals", "clients/{client_id}/plans/{plan_id}/goals", ("plan_id", "goal_id"), shape=FanOut("plans"), params={"all": "1"},
        columns=(
            column("goal_id", "id", STRING, required=True), column("plan_id", "@plan_id", STRING, required=True),
            column("client_id", "@client_id", STRING),
        ),
    )  # fmt: skip
    puller, listener = serve(lambda call: Reply({"id": "g"}))
    rows = puller.rows(table, keys=[{"client_id": "c", "plan_id": "p"}, {"client_id": "c", "plan_id": "q"}])
    assert rows == [{"goal_id": "g", "plan_id": plan, "client_id": "c"} for plan in "pq"]
    assert {(call.path, call.params["all"]) for call in listener.calls} == {
        ("/clients/c/plans/p/goals", "1"), ("/clients/c/plans/q/goals", "1"),
    }  # fmt: skip


def test_keys_with_equal_concatenations_are_all_requested(serve: Serve) -> None:
    table = replace(ACCOUNTS, path="clients/{client_id}/{kind}")
    puller, listener = serve(accounts)
    puller.rows(table, keys=[{"client_id": "a/b", "kind": "c"}, {"client_id": "a", "kind": "b/c"}])
    assert len(listener.calls) == 2


def test_rows_are_taken_out_of_their_envelope_and_made_flat_with_exact_money(serve: Serve) -> None:
    body = b'{"data":[{"id":"1","value":{"amount":90071992547409.93}}],"count":1}'
    puller, _ = serve(lambda call: Reply(content=body))
    [row] = puller.rows(replace(ACCOUNTS, rows="data"), keys=clients("a"))
    assert row["worth_usd"] == Decimal("90071992547409.93")


@pytest.mark.parametrize("status", [404, 409])
def test_status_for_no_data_is_no_error_and_is_not_requested_again(serve: Serve, status: int) -> None:
    puller, listener = serve(lambda call: Reply({}, status=status) if client_of(call.path) == "b" else accounts(call))
    table = replace(ACCOUNTS, shape=FanOut("clients", missing=(404, 409)))
    for _ in range(2):
        rows = puller.rows(table, keys=clients("a", "b", "c"))
        assert {row["client_id"] for row in rows} == {"a", "c"}
    assert len(listener.calls) == 3


def test_web_page_with_a_status_for_no_data_is_an_outage(serve: Serve) -> None:
    page = Reply(status=404, kind="text/html; charset=utf-8", content=b"<html>Maintenance</html>")
    pages = [page]
    puller, _ = serve(lambda call: pages.pop() if pages else accounts(call), patience_s=20)
    assert {row["client_id"] for row in puller.rows(ACCOUNTS, keys=clients("a"))} == {"a"}
    puller, _ = serve(lambda call: page)
    with pytest.raises(VendorUnavailable, match=r"maintenance page.*status=404"):
        puller.rows(ACCOUNTS, keys=clients("b"))


def test_status_for_no_data_is_an_error_in_a_table_without_a_parent(serve: Serve) -> None:
    table = replace(ACCOUNTS, path="accounts", shape=FanOut(), references={}, columns=ACCOUNTS.columns)
    puller, _ = serve(lambda call: Reply({}, status=404))
    with pytest.raises(ConfigurationError, match="status=404"):
        puller.rows(table, keys=clients("a"))


def test_status_that_is_not_named_is_an_error(serve: Serve) -> None:
    puller, _ = serve(lambda call: Reply({}, status=409))
    with pytest.raises(ConfigurationError, match="status=409"):
        puller.rows(ACCOUNTS, keys=clients("a"))


def test_as_many_calls_run_at_once_as_the_vendor_s_connections(serve: Serve) -> None:
    together = threading.Barrier(VENDOR.connections)

    def answer(call: RecordedCall) -> Reply:
        together.wait(10)
        return accounts(call)

    puller, listener = serve(answer)
    assert len(puller.rows(ACCOUNTS, keys=clients(*"abcdef"))) == 12
    assert len(listener.calls) == 6


def test_calls_of_a_narrower_bucket_wait_for_it(serve: Serve, shared_database: Database) -> None:
    budget = Budget(600_000, 1000, calls_per_hour={"simulations": 3600 * 20})
    vendor = replace(VENDOR, name="narrow", budget=replace(budget, burst=1))
    puller, _ = serve(accounts, vendor=vendor)
    started = time.monotonic()
    puller.rows(replace(ACCOUNTS, shape=FanOut("clients", bucket="simulations")), keys=clients(*"abcdef"))
    assert time.monotonic() - started >= 5 / 20
    taken = shared_database.rows("select bucket from control.rate_budget where vendor = 'narrow'")
    assert {row["bucket"] for row in taken} >= {"all", "batch", "simulations", "simulations:batch"}


def test_row_that_two_calls_give_is_staged_once_and_counted(serve: Serve) -> None:
    puller, _ = serve(lambda call: Reply([account("shared", 5), account(client_of(call.path), 1)]))
    manifest = puller.pull(ACCOUNTS, keys=clients("a", "b")).manifest
    assert (manifest.fetched, manifest.staged, manifest.duplicate, manifest.dead) == (4, 3, 1, 0)
    assert manifest.money == Decimal("7.00")


def test_bad_row_is_one_dead_letter(serve: Serve) -> None:
    puller, _ = serve(lambda call: Reply([account("x", 1), {"id": "y", "value": {"amount": "N/A"}}, 7]))
    partition = puller.pull(ACCOUNTS, keys=clients("a"))
    dead_letters = [json.loads(line) for line in partition.read_dead_lines()]
    assert [each["reasons"] for each in dead_letters] == [
        ["value.amount: not decimal(20,2): A/A"], ["the row is not an object"],
    ]  # fmt: skip


def test_error_message_in_place_of_a_row_is_a_dead_letter(serve: Serve) -> None:
    table = replace(ACCOUNTS, key=("client_id",), columns=tuple(c for c in ACCOUNTS.columns if c.name != "account_id"))
    puller, _ = serve(lambda call: Reply({"name": "IRA"} if client_of(call.path) == "a" else {"message": "Try later"}))
    partition = puller.pull(table, keys=clients("a", "b"))
    assert [row["name"] for _, part in partition.rows() for row in part.to_pylist()] == ["IRA"]
    [line] = map(json.loads, partition.read_dead_lines())
    assert line["key"] == "b"
    assert "name: absent, and the row has only undeclared fields" in line["reasons"][0]


@pytest.mark.parametrize("body", [{}, {"note": "nothing"}, {"name": None, "message": "Hello"}])
def test_response_without_a_value_is_a_row_of_nulls(serve: Serve, body: dict[str, Any]) -> None:
    table = replace(ACCOUNTS, key=("client_id",), columns=tuple(c for c in ACCOUNTS.columns if c.name != "account_id"))
    puller, _ = serve(lambda call: Reply(body))
    assert [(row["client_id"], row["name"]) for row in puller.rows(table, keys=clients("a"))] == [("a", None)]


def test_field_missing_from_every_response_is_drift(serve: Serve) -> None:
    puller, _ = serve(lambda call: Reply([{"accountId": "x"}]))
    with pytest.raises(SchemaDrift, match=r"fields=\S*\bid\b\S* undeclared=accountId"):
        puller.pull(ACCOUNTS, keys=clients("a"))


# --- one list per user, page by page ---

AGREEMENTS = Table(
    "agreements", "agreements", ("agreement_id",), rows="items", has_objects=True, page_rows=2, params={"state": "open"},
    shape=FanOut("users", headers={"x-api-user": "email:{email}"}, pages=Linked("page.nextCursor", "pageSize", "cursor")),
    columns=(
        column("agreement_id", "id", STRING, required=True), column("email", "@email", STRING, required=True),
        sensitive("tax_id", "ssn"), *ignored("secret"),
    ),
)  # fmt: skip
USERS = Table("users", "users", ("email",), (column("email", "email", STRING, required=True),))
LISTS = {"ann@firm.example": ["a1", "a2", "a3"], "bo@firm.example": [], "cy@firm.example": ["a4", "a5"]}


def agreements(call: RecordedCall) -> Reply:
    """Reply with one page of the list of the user in `x-api-user`; a cursor is the position of that list's next row."""
    ids = LISTS[call.headers["x-api-user"].removeprefix("email:")]
    size, place = int(call.params["pageSize"]), int(call.params.get("cursor", "0"))
    page = {"nextCursor": str(place + size)} if place + size < len(ids) else {}
    rows = [{"id": id_, "ssn": "900-00-0001", "secret": "s3cret"} for id_ in ids[place : place + size]]
    return Reply({"page": page, "items": rows})


def users(*emails: str) -> list[Keys]:
    return [{"email": email} for email in emails or LISTS]


def test_pages_of_every_list_are_read_with_its_own_header_to_the_end(serve: Serve) -> None:
    puller, listener = serve(agreements)
    rows = puller.rows(AGREEMENTS, keys=users())
    assert [(row["email"], row["agreement_id"]) for row in rows] == [
        (e, id_) for e, ids in LISTS.items() for id_ in ids
    ]
    requests = Counter((call.headers["x-api-user"], call.params.get("cursor")) for call in listener.calls)
    assert requests == {
        ("email:ann@firm.example", None): 1, ("email:ann@firm.example", "2"): 1,
        ("email:bo@firm.example", None): 1, ("email:cy@firm.example", None): 1,
    }  # fmt: skip
    assert {(call.path, call.params["state"], call.params["pageSize"]) for call in listener.calls} == {
        ("/agreements", "open", "2")
    }


def test_list_is_kept_when_its_last_page_is_read_and_not_before(serve: Serve, shared_database: Database) -> None:
    failing = {"2"}

    def answer(call: RecordedCall) -> Reply:
        return Reply(None, 400) if call.params.get("cursor") in failing else agreements(call)

    puller, listener = serve(answer, vendor=vendor_of(USERS, AGREEMENTS, connections=1))
    with pytest.raises(ConfigurationError):
        puller.rows(AGREEMENTS, keys=users("cy@firm.example", "ann@firm.example"))
    assert list(read_stored_responses(shared_database, puller.run_id)) == ["cy%40firm.example"]
    failing.clear()
    listener.calls.clear()
    rows = puller.rows(AGREEMENTS, keys=users("cy@firm.example", "ann@firm.example"))
    assert sorted(row["agreement_id"] for row in rows) == ["a1", "a2", "a3", "a4", "a5"]
    assert {call.headers["x-api-user"] for call in listener.calls} == {"email:ann@firm.example"}


def test_no_page_keeps_what_is_sensitive_or_left_behind(serve: Serve, shared_database: Database) -> None:
    def answer(call: RecordedCall) -> Reply:
        return Reply(None, 400) if call.headers["x-api-user"] == "email:bo@firm.example" else agreements(call)

    puller, _ = serve(answer, vendor=vendor_of(USERS, AGREEMENTS, connections=1))
    with pytest.raises(ConfigurationError):
        puller.rows(AGREEMENTS, keys=users("ann@firm.example", "bo@firm.example"))
    [whole] = read_stored_responses(shared_database, puller.run_id).values()
    assert len(json.loads(whole)) == 3
    assert b"900-00-0001" not in whole
    assert b"s3cret" not in whole


@pytest.mark.parametrize("back_to", ["x", "y"])
def test_page_cycle_of_one_list_is_reported(serve: Serve, back_to: str) -> None:
    following = {"": "x", "x": "y", "y": back_to}
    puller, listener = serve(
        lambda call: Reply({"page": {"nextCursor": following[call.params.get("cursor", "")]}, "items": []})
    )
    with pytest.raises(PagingUnstable, match=r"form a loop.*vendor=testbank table=agreements"):
        puller.rows(AGREEMENTS, keys=users("ann@firm.example"))
    assert len(listener.calls) <= 4


def test_user_without_a_list_is_no_error_and_hides_no_other_user(serve: Serve) -> None:
    def answer(call: RecordedCall) -> Reply:
        return Reply(None, 404) if call.headers["x-api-user"] == "email:ann@firm.example" else agreements(call)

    puller, _ = serve(answer)
    assert [row["agreement_id"] for row in puller.rows(AGREEMENTS, keys=users())] == ["a4", "a5"]


# --- the whole step ---


def test_responses_are_deleted_when_the_partition_is_complete(
    serve: Serve, shared_database: Database, engine: sa.Engine, tmp_path: Path
) -> None:
    def answer(call: RecordedCall) -> Reply:
        return Reply([{"id": id_} for id_ in "ab"]) if call.path == "/clients" else accounts(call)

    vendor: Vendor = replace(VENDOR, tables=(replace(CLIENTS, omits_nulls=True), ACCOUNTS))
    _, listener = serve(answer)
    site = Site(engine, Staging(str(tmp_path), KEYRING.staging), KEYRING, lambda: NOW)
    run = Run("whole step", DAY, DAY.replace(day=19))
    another = Answers(engine, "another run", VENDOR.name, "accounts", KEYRING.staging)
    another.keep("a", b"[]")
    connection = Connection(listener.url, "user", "password")
    vendor_run = VendorRun(site, vendor, connection, run)
    vendor_day.stage(vendor_run, "clients")
    assert vendor_day.stage(vendor_run, "accounts").manifest.staged == 4
    assert read_stored_responses(shared_database, run.run_id) == {}
    assert another.list_known() == {"a"}


def test_fan_out_over_grants_without_a_grant_is_a_configuration_error(engine: sa.Engine, tmp_path: Path) -> None:
    table = Table(
        "clients", "clients", ("client_id",), (column("client_id", "id", INTEGER, required=True),), shape=FanOut()
    )
    site = Site(engine, Staging(str(tmp_path), KEYRING.staging), KEYRING, lambda: NOW)
    run = Run("no grant", DAY, DAY.replace(day=19))
    vendor_run = VendorRun(site, vendor_of(table), Connection("http://127.0.0.1:1"), run)
    with pytest.raises(ConfigurationError, match="grant"):
        vendor_day.stage(vendor_run, "clients")
